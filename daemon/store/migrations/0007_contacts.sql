-- Lists of contacts. A list's row is locked before its contacts are written, and its count changes with them.
CREATE TABLE IF NOT EXISTS contact_list (
    id BIGINT NOT NULL,
    owner VARCHAR(64) NOT NULL,
    name VARCHAR(256) NOT NULL,
    contact_count BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (owner, name)
) {table_options};

-- A person or group stands once in a list. Where there is no number, the chat id stands for it.
CREATE TABLE IF NOT EXISTS contact (
    id BIGINT NOT NULL,
    contact_list_id BIGINT NOT NULL,
    phone_number VARCHAR(64) NOT NULL,
    chat_id VARCHAR(64) NOT NULL,
    first_name VARCHAR(256),
    fields TEXT,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (contact_list_id, chat_id),
    UNIQUE (contact_list_id, id)
) {table_options};

-- Who wants no messages, of whichever campaign.
CREATE TABLE IF NOT EXISTS opt_out (
    chat_id VARCHAR(64) NOT NULL,
    phone_number VARCHAR(64) NOT NULL,
    reason VARCHAR(256) NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (chat_id)
) {table_options};
