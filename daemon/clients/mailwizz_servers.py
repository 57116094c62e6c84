"""Delivery servers and the history of their tests in MailWizz's database: what is read, and how it is spelt."""

from collections.abc import Collection
from typing import Any  # rows carry what the columns hold; the dataclass gives it types

from daemon.clients.mailwizz_database import Row
from domain.delivery_server import SENDING, DeliveryServer
from domain.server_ports import Candidate, LastTest
from domain.server_test import Verdict

SENDS = f"IN ({', '.join(repr(status) for status in SENDING)})"
JUDGED = f"IN ('{Verdict.FAILED}', '{Verdict.SUCCESSFUL}')"
"""The history may hold other words: an earlier tester knew PENDING."""

QUOTAS = ("second_quota", "minute_quota", "hourly_quota", "daily_quota", "monthly_quota")

# What every version has, then what some lack: with what stands for it there, as SQL.
_CORE = (
    "server_id",
    "type",
    "hostname",
    "username",
    "password",
    "port",
    "protocol",
    "from_email",
    "bounce_server_id",
    "customer_id",
    "status",
    "last_updated",
)
_SOME = {
    "name": "''",
    "timeout": "30",
    "from_name": "''",
    "reply_to_email": "''",
    "force_from": "'never'",
    "force_reply_to": "'never'",
    "tracking_domain_id": "NULL",
}
FIELDS = (*_CORE, *_SOME)
_SPELT = {"server_id": "id", "timeout": "timeout_s"}
_OPTIONAL_INTEGERS = frozenset({"bounce_server_id", "customer_id", "tracking_domain_id"})
_INTEGERS = frozenset({"server_id", "port", "timeout"})


def selected(there: Collection[str]) -> str:
    """The select list of `FIELDS`, out of a table called `s` that has the columns `there`."""
    return ", ".join(f"s.{name}" if name in there or name in _CORE else _SOME[name] for name in FIELDS)


def server_of(row: Row) -> DeliveryServer:
    """A row of `FIELDS`. A text that is NULL reads as empty, the password as None."""
    read: dict[str, Any] = {
        _SPELT.get(name, name): _value(name, value) for name, value in zip(FIELDS, row, strict=True)
    }
    return DeliveryServer(**read)


def _value(name: str, value: Any) -> Any:
    if name in _INTEGERS:
        return int(value or 0)
    if name in _OPTIONAL_INTEGERS:
        return None if value is None else int(value)
    if name == "password":
        return None if value is None else str(value)
    return "" if value is None else str(value)


def candidate_of(row: Row) -> Candidate:
    """A row of `FIELDS` with the newest line of its history, the newest that says FAILED, and the reason."""
    *fields, newest, failed, reason = row
    server = server_of(tuple(fields))
    if newest is None:
        return Candidate(server, None, str(reason))
    verdict = Verdict.FAILED if failed == newest else Verdict.SUCCESSFUL
    return Candidate(server, LastTest(server.id, verdict, str(newest)), str(reason))


def candidates_sql(servers: str, history: str, there: Collection[str], oldest: str) -> str:
    """Every sending server once, with why it is due; `oldest` is SQL for the moment before which a test is too old.

    `<=`: a second holds an update and a start in either order, and one test too many is the cheaper mistake.
    One that failed and was left on is no server that was tested well.
    """
    return (
        f"SELECT {selected(there)}, t.newest, t.failed,"  # noqa: S608  checked names, no input
        " CASE WHEN t.newest IS NULL THEN 'never-tested' WHEN t.newest <= s.last_updated THEN 'updated'"
        f" WHEN t.newest <= {oldest} THEN 'too-old' WHEN t.newest = t.failed THEN 'failed' ELSE '' END"
        f" FROM {servers} s LEFT JOIN (SELECT delivery_server_id, MAX(test_insert_date) AS newest,"
        f" MAX(CASE WHEN status = '{Verdict.FAILED}' THEN test_insert_date END) AS failed"
        f" FROM {history} WHERE status {JUDGED} GROUP BY delivery_server_id) t ON t.delivery_server_id = s.server_id"
        f" WHERE s.status {SENDS} ORDER BY CASE WHEN t.newest IS NULL THEN 0 ELSE 1 END, t.newest, s.server_id"
    )
