-- Status checks under the table names of the system that we replace.

CREATE TABLE IF NOT EXISTS status_check (
    id BIGINT NOT NULL,
    robot_id BIGINT NOT NULL,
    step_id BIGINT NOT NULL,
    scheduled_id BIGINT NOT NULL,
    script_version_id BIGINT NOT NULL,
    planned_at_ms BIGINT NOT NULL,
    template_name VARCHAR(64) NOT NULL,
    template_version BIGINT NOT NULL,
    started_at_ms BIGINT NOT NULL,
    looks_back INTEGER NOT NULL,
    since_ms BIGINT,
    until_ms BIGINT,
    branches TEXT NOT NULL,
    phase VARCHAR(64) NOT NULL,
    result VARCHAR(64) NOT NULL,
    next_step_id BIGINT,
    next_step_resolved INTEGER NOT NULL,
    subscription_id BIGINT,
    call_ref VARCHAR(128),
    updated_at_ms BIGINT NOT NULL,
    notices INTEGER NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (robot_id, step_id, scheduled_id, planned_at_ms),
    UNIQUE (robot_id, subscription_id)
) {table_options};

CREATE TABLE IF NOT EXISTS status_check_record (
    status_check_id BIGINT NOT NULL,
    ordinal INTEGER NOT NULL,
    incoming_event_id BIGINT NOT NULL,
    outgoing_event_id BIGINT,
    event_name VARCHAR(256) NOT NULL,
    level INTEGER,
    phase VARCHAR(64) NOT NULL,
    result VARCHAR(64) NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (status_check_id, ordinal),
    UNIQUE (status_check_id, incoming_event_id)
) {table_options};

-- Subscriptions at Megazord that we opened; it offers no list of its own.
CREATE TABLE IF NOT EXISTS subscription (
    subscription_id BIGINT NOT NULL,
    robot_id BIGINT NOT NULL,
    held_at_ms BIGINT NOT NULL,
    released_at_ms BIGINT,
    PRIMARY KEY (subscription_id)
) {table_options};
