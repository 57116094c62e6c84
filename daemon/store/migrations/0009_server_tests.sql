-- One test of one delivery server. `body` is the whole run as JSON, without any password; the columns are what is
-- searched and listed. `step` is where it failed, also where an outage took the verdict back.
CREATE TABLE IF NOT EXISTS server_test_run (
    id VARCHAR(64) NOT NULL,
    server_id BIGINT NOT NULL,
    cycle_id VARCHAR(64),
    name VARCHAR(255) NOT NULL,
    phase VARCHAR(16) NOT NULL,
    way VARCHAR(16) NOT NULL,
    verdict VARCHAR(16),
    step VARCHAR(8) NOT NULL,
    reason VARCHAR(1100) NOT NULL,
    deactivated INTEGER NOT NULL,
    kept VARCHAR(32) NOT NULL,
    dry_run INTEGER NOT NULL,
    fingerprint VARCHAR(64) NOT NULL,
    began_at_ms BIGINT NOT NULL,
    judged_at_ms BIGINT,
    ended_at_ms BIGINT,
    body MEDIUMTEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (server_id, began_at_ms, id),
    UNIQUE (server_id, dry_run, verdict, judged_at_ms, id),
    UNIQUE (cycle_id, phase, id),
    UNIQUE (phase, id),
    UNIQUE (judged_at_ms, id),
    UNIQUE (ended_at_ms, id)
) {table_options};

-- What one run or cycle holds over all replicas: a server, a list, the right to be the only cycle.
CREATE TABLE IF NOT EXISTS server_test_claim (
    name VARCHAR(64) NOT NULL,
    run_id VARCHAR(64) NOT NULL,
    PRIMARY KEY (name),
    UNIQUE (run_id, name)
) {table_options};

-- One cycle over all servers that need a test.
CREATE TABLE IF NOT EXISTS server_test_cycle (
    id VARCHAR(64) NOT NULL,
    began_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT,
    body MEDIUMTEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (ended_at_ms, id)
) {table_options};
