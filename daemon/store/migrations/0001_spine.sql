-- What every message needs. Indexes are UNIQUE constraints that end in the primary key: both engines take those
-- inside CREATE TABLE, so a file that was cut short by a crash can simply be run again.

-- Ids of handled messages: the commit of a second delivery fails here.
CREATE TABLE IF NOT EXISTS inbox (
    source VARCHAR(128) NOT NULL,
    message_id VARCHAR(128) NOT NULL,
    handled_at_ms BIGINT NOT NULL,
    PRIMARY KEY (source, message_id),
    UNIQUE (handled_at_ms, source, message_id)
) {table_options};

-- Messages committed with the state that they tell of, and not yet sent.
CREATE TABLE IF NOT EXISTS outbox (
    id VARCHAR(64) NOT NULL,
    destination VARCHAR(255) NOT NULL,
    body MEDIUMTEXT NOT NULL,
    attributes TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    due_at_ms BIGINT NOT NULL,
    claimed_by VARCHAR(64) NOT NULL,
    claimed_until_ms BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (due_at_ms, id),
    UNIQUE (claimed_by, id)
) {table_options};

-- Durable "at T do X". `fence` rises with every claim; a holder with an old one writes nothing.
CREATE TABLE IF NOT EXISTS timer (
    id VARCHAR(190) NOT NULL,
    type VARCHAR(64) NOT NULL,
    data TEXT NOT NULL,
    call_ref VARCHAR(128),
    due_at_ms BIGINT NOT NULL,
    lease_owner VARCHAR(64) NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    claims INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (due_at_ms, id),
    UNIQUE (lease_owner, id)
) {table_options};

-- One holder at a time for work that only one replica may do.
CREATE TABLE IF NOT EXISTS lease (
    name VARCHAR(64) NOT NULL,
    owner VARCHAR(64) NOT NULL,
    until_ms BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    PRIMARY KEY (name)
) {table_options};

-- Our own attempts per delivery: SQS's receive count also rises when nobody tried anything.
CREATE TABLE IF NOT EXISTS attempt (
    queue VARCHAR(80) NOT NULL,
    delivery_id VARCHAR(190) NOT NULL,
    attempts INTEGER NOT NULL,
    deferrals INTEGER NOT NULL,
    first_at_ms BIGINT NOT NULL,
    last_at_ms BIGINT NOT NULL,
    PRIMARY KEY (queue, delivery_id),
    UNIQUE (last_at_ms, queue, delivery_id)
) {table_options};

-- What happened to each message, for people; bounded by age.
CREATE TABLE IF NOT EXISTS journal (
    id VARCHAR(64) NOT NULL,
    at_ms BIGINT NOT NULL,
    queue VARCHAR(80) NOT NULL,
    delivery_id VARCHAR(190) NOT NULL,
    source VARCHAR(128) NOT NULL,
    message_id VARCHAR(190) NOT NULL,
    type VARCHAR(128) NOT NULL,
    robot_id BIGINT,
    call_ref VARCHAR(128),
    outcome VARCHAR(16) NOT NULL,
    reason TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (at_ms, id),
    UNIQUE (robot_id, at_ms, id),
    UNIQUE (message_id, at_ms, id)
) {table_options};

-- Ids given out in blocks, so that an id is known before the row is written.
CREATE TABLE IF NOT EXISTS id_block (
    name VARCHAR(64) NOT NULL,
    next_id BIGINT NOT NULL,
    PRIMARY KEY (name)
) {table_options};

-- Bodies of dead letters that, with their reason, no longer fit into one SQS message.
CREATE TABLE IF NOT EXISTS parked_body (
    id VARCHAR(190) NOT NULL,
    body MEDIUMTEXT NOT NULL,
    parked_at_ms BIGINT NOT NULL,
    PRIMARY KEY (id)
) {table_options};
