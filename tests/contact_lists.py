"""Lists of very many contacts, and the campaigns for them, put into a database as rows.

The commands that would do the same take a second for a few hundred; what is measured or proven here begins after them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from daemon.store.database import Database, Value, Write

ROWS_TOGETHER = 500
OWNER, TEXT = "user-1", "Dear {name}, hello."
_LIST = "INSERT INTO contact_list (id, owner, name, contact_count, created_at_ms) VALUES "
_CONTACT = "INSERT INTO contact (id, contact_list_id, phone_number, chat_id, first_name, fields, created_at_ms) VALUES "
_CAMPAIGN = (
    "INSERT INTO campaign (id, owner, name, session, contact_list_id, text_content, default_name_value, "
    "scheduled_at_ms, status, total_contacts, created_at_ms, notices, version) VALUES "
)
_TIMER = "INSERT INTO timer (id, type, data, due_at_ms, lease_owner, lease_until_ms, fence, claims) VALUES "


@dataclass(frozen=True, slots=True)
class Crowd:
    """`lists` contact lists with ids from 1 on, each with `contacts` people whom no other list has."""

    lists: int
    contacts: int

    @property
    def sessions(self) -> list[str]:
        """A number of its own for each list."""
        return [f"number-{list_id}" for list_id in range(1, self.lists + 1)]

    @property
    def everybody(self) -> Iterator[tuple[str, str]]:
        """Session and chat id of each contact, list by list."""
        for number in range(self.lists * self.contacts):
            yield f"number-{number // self.contacts + 1}", f"{_phone(number)}@c.us"

    async def add(self, database: Database) -> None:
        """Write all rows."""
        lists = ((list_id, OWNER, f"list {list_id}", self.contacts, 0) for list_id in range(1, self.lists + 1))
        for write in _together(_LIST, lists):
            await database.apply([write])
        for write in _together(_CONTACT, self._contacts()):
            await database.apply([write])

    async def schedule(self, database: Database, first_ms: int, within_ms: int) -> None:
        """Write a campaign for each list, and the timers that start them, spread evenly over a while."""
        starts = [first_ms + within_ms * number // self.lists for number in range(self.lists)]
        for write in _together(_CAMPAIGN, (self._campaign(number, at_ms) for number, at_ms in enumerate(starts, 1))):
            await database.apply([write])
        for write in _together(_TIMER, (_timer(number, at_ms) for number, at_ms in enumerate(starts, 1))):
            await database.apply([write])

    def _campaign(self, number: int, at_ms: int) -> tuple[Value, ...]:
        names = (OWNER, f"campaign {number}", f"number-{number}")
        return (number, *names, number, TEXT, "friend", at_ms, "Scheduled", self.contacts, at_ms, 0, 1)

    def _contacts(self) -> Iterator[tuple[Value, ...]]:
        for list_id in range(1, self.lists + 1):
            for position in range(self.contacts):
                number = (list_id - 1) * self.contacts + position
                phone = _phone(number)
                yield (number + 1, list_id, phone, f"{phone}@c.us", f"N{number}", None, 0)


def _timer(number: int, at_ms: int) -> tuple[Value, ...]:
    return (f"campaign.start:{number}", "campaign.start", f'{{"campaignId": {number}}}', at_ms, "", 0, 1, 0)


def _phone(number: int) -> str:
    return f"99900{number:07d}"


def _together(insert: str, rows: Iterator[tuple[Value, ...]]) -> Iterator[Write]:
    """The rows as few statements of many rows each."""
    block: list[tuple[Value, ...]] = []
    for row in rows:
        block.append(row)
        if len(block) == ROWS_TOGETHER:
            yield _insert(insert, block)
            block = []
    if block:
        yield _insert(insert, block)


def _insert(insert: str, rows: list[tuple[Value, ...]]) -> Write:
    marks = f"({', '.join('?' * len(rows[0]))})"
    args = tuple(value for row in rows for value in row)
    return Write(insert + ", ".join([marks] * len(rows)), args, rows=len(rows))
