"""Contact lists and opt-outs in the database.

Who is in a list already is read beforehand, and the others are inserted: a writer who was faster makes that a
duplicate key, so a Conflict, and whoever wrote reads again. So `contact_count` rises by exactly the rows that came in.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any  # rows carry what the columns hold; the dataclasses below give it types

from daemon.store.database import Database, Row, Value, Write
from daemon.store.ids import Ids
from domain.contacts import ContactList, NewContact

_LIST = "SELECT id, owner, name, contact_count FROM contact_list "
_INSERT_LIST = "INSERT INTO contact_list (id, owner, name, contact_count, created_at_ms) VALUES (?, ?, ?, 0, {now_ms})"
_MORE = "UPDATE contact_list SET contact_count = contact_count + ? WHERE id = ?"
_INSERT = (
    "INSERT INTO contact (id, contact_list_id, phone_number, chat_id, first_name, fields, created_at_ms) VALUES "
    "(?, ?, ?, ?, ?, ?, {now_ms})"
)
_ONE_MORE = ", (?, ?, ?, ?, ?, ?, {now_ms})"
_PRESENT = "SELECT chat_id FROM contact WHERE contact_list_id = ? AND chat_id IN ({})"
_FIRST = "SELECT fields FROM contact WHERE contact_list_id = ? ORDER BY id LIMIT 100"
_OPTED_OUT = "SELECT chat_id FROM opt_out WHERE chat_id IN ({})"
_INSERT_OPT_OUT = "INSERT INTO opt_out (chat_id, phone_number, reason, at_ms) VALUES (?, ?, ?, ?)"
_AT_ONCE = 500  # chat ids in one question
_ROWS, _CHARACTERS = 100, 250_000  # of one INSERT: far below what any server takes as one packet
_IDS = 1_000  # of one block; the number of a block is what the database hands out


class SqlContacts:
    """The port `Contacts` for one unit of work: reads at once, hands its writes to `collect`."""

    def __init__(self, database: Database, ids: Ids, collect: Callable[[Write], None]) -> None:
        self._database = database
        self._ids = ids
        self._collect = collect

    async def list_of(self, list_id: int, owner: str) -> ContactList | None:
        """By id, if it is this owner's."""
        return await self._one("WHERE id = ? AND owner = ?", list_id, owner)

    async def list_named(self, owner: str, name: str) -> ContactList | None:
        """By owner and name."""
        return await self._one("WHERE owner = ? AND name = ?", owner, name)

    async def lists(self, owner: str | None = None) -> list[ContactList]:
        """In the order of owner and name."""
        where, args = ("WHERE owner = ? ", (owner,)) if owner is not None else ("", ())
        return [_list_of(row) for row in await self._database.fetch(f"{_LIST}{where}ORDER BY owner, name", args)]

    async def field_names(self, list_id: int) -> frozenset[str]:
        """What each of the first hundred has."""
        rows = await self._database.fetch(_FIRST, (list_id,))
        names = [frozenset(json.loads(str(fields))) if fields else frozenset() for (fields,) in rows]
        return frozenset.intersection(*names) if names else frozenset()

    async def new_list(self, owner: str, name: str) -> ContactList:
        """An empty one."""
        made = ContactList(await self._ids.next("contact_list"), owner, name, 0)
        self._collect(Write(_INSERT_LIST, (made.id, owner, name), rows=1))
        return made

    async def add(self, list_id: int, contacts: Sequence[NewContact]) -> int:
        """The list's row goes first: its lock lets one writer after the other add to a list."""
        present = await self._of(_PRESENT, [each.chat_id for each in contacts], list_id)
        new = list({each.chat_id: each for each in contacts if each.chat_id not in present}.values())
        if not new:
            return 0
        self._collect(Write(_MORE, (len(new), list_id), rows=1))
        rows: list[tuple[Value, ...]] = []
        for start in range(0, len(new), _IDS):
            first_id = await self._ids.next("contact") * _IDS
            part = new[start : start + _IDS]
            rows += [_row_of(first_id + position, list_id, each) for position, each in enumerate(part)]
        for some in _statements(rows):
            args = tuple(value for row in some for value in row)
            self._collect(Write(_INSERT + _ONE_MORE * (len(some) - 1), args, rows=len(some)))
        return len(new)

    async def opt_out(self, chat_id: str, reason: str, at_ms: int) -> bool:
        """The first one stays, with its reason."""
        if await self.opted_out([chat_id]):
            return False
        phone = chat_id.removesuffix("@c.us")
        self._collect(Write(_INSERT_OPT_OUT, (chat_id, phone, reason, at_ms), rows=1))
        return True

    async def opted_out(self, chat_ids: Sequence[str]) -> frozenset[str]:
        """In as many questions as their number needs."""
        return frozenset(await self._of(_OPTED_OUT, chat_ids))

    async def _one(self, where: str, *args: Value) -> ContactList | None:
        rows = await self._database.fetch(_LIST + where, args)
        return _list_of(rows[0]) if rows else None

    async def _of(self, sql: str, chat_ids: Sequence[str], *before: Value) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(chat_ids), _AT_ONCE):
            some = chat_ids[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            found |= {str(row[0]) for row in await self._database.fetch(sql.replace("{}", marks), (*before, *some))}
        return found


def _list_of(row: Row) -> ContactList:
    columns: Sequence[Any] = row
    return ContactList(*columns)


def _row_of(contact_id: int, list_id: int, contact: NewContact) -> tuple[Value, ...]:
    # Not ASCII alone: an escaped sign takes three times its place, and the column is bounded.
    fields = json.dumps(dict(contact.fields), ensure_ascii=False) if contact.fields else None
    return (contact_id, list_id, contact.phone_number, contact.chat_id, contact.first_name, fields)


def _statements(rows: Sequence[tuple[Value, ...]]) -> Iterator[list[tuple[Value, ...]]]:
    some: list[tuple[Value, ...]] = []
    size = 0
    for row in rows:
        length = len(str(row))
        if some and (len(some) == _ROWS or size + length > _CHARACTERS):
            yield some
            some, size = [], 0
        some.append(row)
        size += length
    if some:
        yield some
