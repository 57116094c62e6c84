-- Templates under the table names of the system that we replace. What has a default may be left out by a row that is
-- written by hand; the columns after created_at_ms are ours.

CREATE TABLE IF NOT EXISTS status_check_description (
    id BIGINT NOT NULL,
    name VARCHAR(256) NOT NULL,
    description VARCHAR(1024) NOT NULL,
    created_at_ms BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (id),
    UNIQUE (name)
) {table_options};

-- The dependencies are JSON arrays of event names.
CREATE TABLE IF NOT EXISTS status_check_template (
    id BIGINT NOT NULL,
    template_description_id BIGINT NOT NULL,
    past_event_dependencies VARCHAR(512),
    future_event_dependencies VARCHAR(512),
    version BIGINT NOT NULL DEFAULT 1,
    is_active INTEGER NOT NULL DEFAULT 1,
    poll_until_end INTEGER NOT NULL DEFAULT 0,
    created_at_ms BIGINT NOT NULL DEFAULT 0,
    past_interval_s BIGINT,
    future_interval_s BIGINT,
    on_timeout VARCHAR(16),
    content_hash CHAR(64),
    PRIMARY KEY (id),
    UNIQUE (template_description_id, version)
) {table_options};

-- One condition: phase PAST or FUTURE, output PASS, FAIL or UNKNOWN.
CREATE TABLE IF NOT EXISTS status_check_template_detail (
    template_id BIGINT NOT NULL,
    phase VARCHAR(64) NOT NULL,
    raw_expression VARCHAR(1024) NOT NULL,
    output VARCHAR(16) NOT NULL,
    PRIMARY KEY (template_id, phase, output)
) {table_options};
