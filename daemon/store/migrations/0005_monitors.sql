-- Rolling monitors: one session for each rule and local date, whatever the number of replicas.
CREATE TABLE IF NOT EXISTS monitor_session (
    id VARCHAR(128) NOT NULL,
    robot_id BIGINT NOT NULL,
    rule_id VARCHAR(64) NOT NULL,
    local_date CHAR(10) NOT NULL,
    rule_text TEXT NOT NULL,
    starts_ms BIGINT NOT NULL,
    ends_ms BIGINT NOT NULL,
    phase VARCHAR(16) NOT NULL,
    window_number BIGINT NOT NULL,
    window_start_ms BIGINT NOT NULL,
    window_end_ms BIGINT NOT NULL,
    alarms_in_row BIGINT NOT NULL,
    last_event_id BIGINT,
    last_event_ms BIGINT,
    subscription_id BIGINT,
    version BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (robot_id, rule_id, local_date),
    UNIQUE (robot_id, subscription_id, id),
    UNIQUE (phase, id),
    UNIQUE (ends_ms, id)
) {table_options};

-- What became of each window of a session.
CREATE TABLE IF NOT EXISTS monitor_window (
    session_id VARCHAR(128) NOT NULL,
    window_number BIGINT NOT NULL,
    start_ms BIGINT NOT NULL,
    end_ms BIGINT NOT NULL,
    ended_by VARCHAR(16) NOT NULL,
    alarms_in_row BIGINT NOT NULL,
    event_id BIGINT,
    reference_id VARCHAR(190),
    posted_at_ms BIGINT,
    PRIMARY KEY (session_id, window_number),
    UNIQUE (end_ms, session_id, window_number)
) {table_options};
