-- Why a check said what it said: one row for each time that its robot was told.

CREATE TABLE IF NOT EXISTS status_check_decision (
    status_check_id BIGINT NOT NULL,
    ordinal INTEGER NOT NULL,
    decided_at_ms BIGINT NOT NULL,
    trace MEDIUMTEXT NOT NULL,
    PRIMARY KEY (status_check_id, ordinal)
) {table_options};
