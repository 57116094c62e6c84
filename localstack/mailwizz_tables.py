"""The tables of the MailWizz simulator: our own minimal DDL, with the columns that its real neighbours have by name.

Not the product's schema: what nobody here reads is left out, and how its options are stored is simplified (a customer
group's options are columns). Times are DATETIME written by the application, the history's is TIMESTAMP, as there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.clients.mailwizz_database import AnyDatabase, MailWizzNames, Write
from daemon.store.mysql import MysqlDatabase

PROCEDURE = "campaign_create_new"
MAILBOX = "mailbox_emails_links_clicker_emails"


@dataclass(frozen=True, slots=True)
class _Words:
    """How an engine spells a counting key, and a column of few words."""

    key: str
    verdict: str


# PENDING is a word of an earlier tester; its lines may still be there.
_VERDICTS = "ENUM('PENDING','FAILED','SUCCESSFUL') DEFAULT 'SUCCESSFUL'"
_MYSQL = _Words("INT NOT NULL AUTO_INCREMENT PRIMARY KEY", _VERDICTS)
_SQLITE = _Words("INTEGER PRIMARY KEY AUTOINCREMENT", "VARCHAR(10) DEFAULT 'SUCCESSFUL'")

_SERVER = """
server_id {key}, customer_id INT NULL, bounce_server_id INT NULL, tracking_domain_id INT NULL, type CHAR(20) NOT NULL,
name VARCHAR(255) NULL, hostname VARCHAR(255) NOT NULL, username VARCHAR(255) NOT NULL, password VARCHAR(255) NULL,
port INT NOT NULL DEFAULT 25, protocol CHAR(10) NULL, timeout INT NULL DEFAULT 30, from_email VARCHAR(150) NOT NULL,
from_name VARCHAR(150) NULL, reply_to_email VARCHAR(150) NULL, hourly_quota INT NOT NULL DEFAULT 0,
daily_quota INT NOT NULL DEFAULT 0, monthly_quota INT NOT NULL DEFAULT 0,
force_from VARCHAR(50) NOT NULL DEFAULT 'never', force_reply_to VARCHAR(50) NOT NULL DEFAULT 'never',
status CHAR(15) NOT NULL DEFAULT 'inactive', date_added DATETIME NULL, last_updated DATETIME NOT NULL
"""

_PRODUCT = {
    "customer_group": "group_id {key}, name VARCHAR(255) NOT NULL, can_select_servers CHAR(3) NOT NULL DEFAULT 'yes'",
    "customer": "customer_id {key}, group_id INT NULL",
    "bounce_server": "server_id {key}, email VARCHAR(150) NOT NULL",
    "delivery_server": _SERVER,
    "delivery_server_to_customer_group": """
        server_id INT NOT NULL, group_id INT NOT NULL, PRIMARY KEY (server_id, group_id),
        FOREIGN KEY (server_id) REFERENCES {table:delivery_server} (server_id) ON DELETE CASCADE,
        FOREIGN KEY (group_id) REFERENCES {table:customer_group} (group_id) ON DELETE CASCADE""",
    "list": "list_id {key}, list_uid CHAR(13) NOT NULL UNIQUE, opt_out CHAR(6) NOT NULL DEFAULT 'single'",
    "list_subscriber": """
        subscriber_id {key}, subscriber_uid CHAR(13) NOT NULL UNIQUE, list_id INT NOT NULL, email VARCHAR(150) NOT NULL,
        status CHAR(15) NOT NULL DEFAULT 'confirmed', UNIQUE (list_id, email)""",
    "email_blacklist": "email_id {key}, email VARCHAR(150) NOT NULL UNIQUE, reason VARCHAR(255) NULL",
    "campaign": """
        campaign_id {key}, campaign_uid CHAR(13) NOT NULL UNIQUE, customer_id INT NOT NULL, list_id INT NOT NULL,
        name VARCHAR(255) NOT NULL, from_name VARCHAR(100) NOT NULL, from_email VARCHAR(100) NOT NULL,
        reply_to VARCHAR(100) NOT NULL, subject VARCHAR(500) NOT NULL, status CHAR(15) NOT NULL DEFAULT 'draft',
        send_at DATETIME NULL, date_added DATETIME NOT NULL, last_updated DATETIME NOT NULL""",
    "campaign_to_delivery_server": """
        campaign_id INT NOT NULL, server_id INT NOT NULL, PRIMARY KEY (campaign_id, server_id)""",
    "campaign_delivery_log": """
        log_id {key}, campaign_id INT NOT NULL, subscriber_id INT NOT NULL, server_id INT NULL, message TEXT NULL,
        status CHAR(15) NOT NULL DEFAULT 'success', email_message_id VARCHAR(255) NULL,
        date_added DATETIME NOT NULL""",
    "campaign_track_open": """
        id {key}, campaign_id INT NOT NULL, subscriber_id INT NOT NULL, date_added DATETIME NOT NULL""",
    "campaign_url": "url_id {key}, campaign_id INT NOT NULL, hash CHAR(40) NOT NULL, destination TEXT NOT NULL",
    "campaign_track_url": "id {key}, url_id INT NOT NULL, subscriber_id INT NOT NULL, date_added DATETIME NOT NULL",
    "campaign_track_unsubscribe": """
        id {key}, campaign_id INT NOT NULL, subscriber_id INT NOT NULL, date_added DATETIME NOT NULL""",
    "campaign_bounce_log": """
        log_id {key}, campaign_id INT NOT NULL, subscriber_id INT NOT NULL, message TEXT NULL,
        bounce_type CHAR(8) NOT NULL DEFAULT 'hard', date_added DATETIME NOT NULL,
        UNIQUE (campaign_id, subscriber_id)""",
}
_HISTORY = """
mailwizz_delivery_servers_test_id {key}, delivery_server_id INT NOT NULL, status {verdict}, error_message TEXT NULL,
test_insert_date TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
"""
_MAILBOX = """
mailbox_emails_links_clicker_email_id {key}, email_date DATETIME NOT NULL, email_subject VARCHAR(998) NOT NULL,
email_headers MEDIUMTEXT NOT NULL, email_from VARCHAR(255) NOT NULL, email_to VARCHAR(255) NOT NULL,
email_message_id VARCHAR(255) NULL
"""

_PARAMETERS = (
    "list_id",
    "customer_id",
    "name",
    "template_id",
    "send_at",
    "from_name",
    "from_email",
    "delivery_server_id",
    "subject",
    "preheader",
    "status",
)
_CREATE = """
INSERT INTO {table:campaign} (campaign_uid, customer_id, list_id, name, from_name, from_email, reply_to, subject,
    status, send_at, date_added, last_updated)
SELECT {uid}, {p}customer_id, {p}list_id, {p}name, {p}from_name, {p}from_email, {p}from_email, {p}subject,
    COALESCE({p}status, 'pending-sending'), {p}send_at, {now}, {now}
"""
_CHOOSE = """
INSERT INTO {table:campaign_to_delivery_server} (campaign_id, server_id)
SELECT {last_id}, {p}delivery_server_id FROM {table:delivery_server} WHERE server_id = {p}delivery_server_id
"""


async def create_tables(database: AnyDatabase, names: MailWizzNames, *, without: Sequence[str] = ()) -> None:
    """Create every table, the mailbox's too, and the procedure. `without`: columns of servers that shall be absent."""
    words = _MYSQL if isinstance(database, MysqlDatabase) else _SQLITE
    tables = {names.table(name): columns for name, columns in _PRODUCT.items()}
    tables |= {names.history: _HISTORY, MAILBOX: _MAILBOX}
    for table, columns in tables.items():
        kept = ", ".join(part for part in _parts(columns) if part.split(" ", 1)[0] not in without)
        await database.apply([Write(_spelt(f"CREATE TABLE {table} ({kept}) {{table_options}}", names, words))])
    await database.apply([Write(sql) for sql in _procedure(names, is_mysql=words is _MYSQL)])


def _parts(columns: str) -> list[str]:
    """The definitions between the commas that stand in no parentheses."""
    parts, depth = [""], 0
    for character in " ".join(columns.split()):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _spelt(sql: str, names: MailWizzNames, words: _Words) -> str:
    for name in _PRODUCT:
        sql = sql.replace(f"{{table:{name}}}", names.table(name))
    return sql.replace("{key}", words.key).replace("{verdict}", words.verdict)


def _procedure(names: MailWizzNames, *, is_mysql: bool) -> list[str]:
    """What makes a campaign: a procedure, or where there is none a view that takes the same values."""
    create, choose = (_spelt(text, names, _MYSQL) for text in (_CREATE, _CHOOSE))
    if is_mysql:
        tokens = {"{p}": "p_", "{uid}": "LEFT(MD5(UUID()), 13)", "{now}": "NOW()", "{last_id}": "made"}
        parameters = ", ".join(f"IN p_{name} VARCHAR(500)" for name in _PARAMETERS)
        body = (
            # One transaction: a cron that saw the campaign without its server would send it through another.
            f"BEGIN DECLARE made INT; START TRANSACTION; {create}; SET made = LAST_INSERT_ID(); {choose}; COMMIT;"
            " SELECT made AS campaign_id; END"
        )
        return [f"CREATE PROCEDURE {PROCEDURE} ({parameters}) {_replaced(body, tokens)}"]
    uid = "lower(substr(hex(randomblob(7)), 1, 13))"
    last_id = "(SELECT MAX(campaign_id) FROM {table:campaign})"
    tokens = {"{p}": "NEW.", "{uid}": uid, "{now}": "datetime('now')", "{last_id}": _spelt(last_id, names, _SQLITE)}
    columns = ", ".join(f"NULL AS {name}" for name in _PARAMETERS)
    trigger = f"CREATE TRIGGER {PROCEDURE}_made INSTEAD OF INSERT ON {PROCEDURE} BEGIN {create}; {choose}; END"
    return [f"CREATE VIEW {PROCEDURE} AS SELECT {columns}", _replaced(trigger, tokens)]


def _replaced(sql: str, tokens: dict[str, str]) -> str:
    for token, words in tokens.items():
        sql = sql.replace(token, words)
    return sql
