-- Campaigns: one row each, one row for each of its recipients, and the pace of each WhatsApp number.

CREATE TABLE IF NOT EXISTS campaign (
    id BIGINT NOT NULL,
    owner VARCHAR(64) NOT NULL,
    name VARCHAR(256) NOT NULL,
    session VARCHAR(128) NOT NULL,
    contact_list_id BIGINT NOT NULL,
    text_content TEXT NOT NULL,
    default_name_value VARCHAR(256) NOT NULL,
    media_file VARCHAR(256),
    scheduled_at_ms BIGINT NOT NULL,
    expires_after_s BIGINT,
    status VARCHAR(16) NOT NULL,
    pause_reason VARCHAR(32),
    pause_detail VARCHAR(512),
    paused_at_ms BIGINT,
    total_contacts BIGINT NOT NULL,
    last_processed_contact_index BIGINT,
    created_at_ms BIGINT NOT NULL,
    started_at_ms BIGINT,
    completed_at_ms BIGINT,
    robot_id BIGINT,
    call_ref VARCHAR(128),
    notices INTEGER NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (owner, id),
    UNIQUE (status, id)
) {table_options};

-- Frozen at the start: the resume point, the counts and the proof of every send. `attempt` rises with each intent.
CREATE TABLE IF NOT EXISTS campaign_recipient (
    campaign_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    contact_id BIGINT NOT NULL,
    chat_id VARCHAR(64) NOT NULL,
    first_name VARCHAR(256),
    fields TEXT,
    state VARCHAR(16) NOT NULL,
    attempt INTEGER NOT NULL,
    message_id VARCHAR(128),
    waha_id VARCHAR(256),
    error_code VARCHAR(64),
    error_detail VARCHAR(512),
    sending_at_ms BIGINT,
    ended_at_ms BIGINT,
    PRIMARY KEY (campaign_id, position),
    UNIQUE (campaign_id, chat_id),
    UNIQUE (campaign_id, state, position)
) {table_options};

-- Pace and breaker of a number, shared by all its campaigns; `version` makes two that send at once take turns.
CREATE TABLE IF NOT EXISTS number_pace (
    session VARCHAR(128) NOT NULL,
    pace TEXT NOT NULL,
    breaker TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (session)
) {table_options};
