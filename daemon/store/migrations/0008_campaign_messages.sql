-- What only some campaigns have, as JSON: a sending window of its own, a queue for its answers.
CREATE TABLE IF NOT EXISTS campaign_terms (
    campaign_id BIGINT NOT NULL,
    terms TEXT NOT NULL,
    PRIMARY KEY (campaign_id)
) {table_options};

-- Each message by the id that WhatsApp knows it by, so that an acknowledgement finds its recipient. `message_id` is the
-- bare id, without the chat; `ack` is the highest that was heard, or -1 for a failure after the send.
CREATE TABLE IF NOT EXISTS campaign_message (
    session VARCHAR(128) NOT NULL,
    message_id VARCHAR(128) NOT NULL,
    campaign_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    attempt INTEGER NOT NULL,
    at_ms BIGINT NOT NULL,
    ack INTEGER,
    ack_at_ms BIGINT,
    looked_at_ms BIGINT,
    PRIMARY KEY (session, message_id),
    UNIQUE (campaign_id, position, session, message_id),
    UNIQUE (session, at_ms, message_id)
) {table_options};

-- Test sends: the intent is committed before the send here too, under the id of the command that asked for it.
CREATE TABLE IF NOT EXISTS campaign_trial_send (
    id VARCHAR(64) NOT NULL,
    campaign_id BIGINT NOT NULL,
    chat_id VARCHAR(64) NOT NULL,
    state VARCHAR(16) NOT NULL,
    message_id VARCHAR(128),
    waha_id VARCHAR(256),
    error_code VARCHAR(64),
    error_detail VARCHAR(512),
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (campaign_id, id)
) {table_options};
