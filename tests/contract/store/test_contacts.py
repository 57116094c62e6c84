"""Contact lists and opt-outs on both engines: nothing stands twice, and the count of a list is always true."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from daemon.store.contacts import SqlContacts
from daemon.store.database import Write
from daemon.store.ids import Ids
from domain.contacts import ContactList, NewContact
from domain.errors import Conflict
from tests.conftest import AnyDatabase, Opener

OWNER = "user-1"


class Work:
    """What a unit of work does for contacts: reads at once, writes together."""

    def __init__(self, database: AnyDatabase, ids: Ids) -> None:
        self._database = database
        self._writes: list[Write] = []
        self.contacts = SqlContacts(database, ids, self._writes.append)

    async def commit(self) -> None:
        writes, self._writes[:] = [*self._writes], []
        await self._database.apply(writes)


Begin = Callable[[], Work]


@pytest.fixture
def begin(database: AnyDatabase) -> Begin:
    """Units of work of one process."""
    return process_of(database)


def process_of(database: AnyDatabase) -> Begin:
    ids = Ids(database)
    return lambda: Work(database, ids)


def contact(number: int, name: str | None = None, **fields: str) -> NewContact:
    phone = f"99900{number:07d}"
    return NewContact(phone, f"{phone}@c.us", name, fields)


async def new_list(begin: Begin, name: str = "Spring", owner: str = OWNER) -> ContactList:
    work = begin()
    made = await work.contacts.new_list(owner, name)
    await work.commit()
    return made


async def add(begin: Begin, list_id: int, contacts: Sequence[NewContact]) -> int:
    """As the dispatcher does: again as a whole where another writer was first."""
    while True:
        work = begin()
        added = await work.contacts.add(list_id, contacts)
        try:
            await work.commit()
        except Conflict:
            continue
        return added


async def counts(database: AnyDatabase) -> list[tuple[object, ...]]:
    """What each list says of itself, beside what is there."""
    sql = "SELECT contact_count, (SELECT COUNT(*) FROM contact c WHERE c.contact_list_id = l.id) FROM contact_list l "
    return list(await database.fetch(f"{sql}ORDER BY l.id"))


async def test_a_list_is_found_by_its_owner_alone(begin: Begin) -> None:
    """By id and by name, with its count; to somebody else it is not there."""
    made = await new_list(begin, "Fr\u00fchling \U0001f337")
    await add(begin, made.id, [contact(1), contact(2)])
    found = ContactList(made.id, OWNER, "Fr\u00fchling \U0001f337", 2)
    contacts = begin().contacts
    assert await contacts.list_of(made.id, OWNER) == found
    assert await contacts.list_named(OWNER, found.name) == found
    assert await contacts.list_of(made.id, "user-2") is None
    assert await contacts.list_named("user-2", found.name) is None
    assert await contacts.list_of(made.id + 1, OWNER) is None


async def test_names_are_told_apart_by_case_and_blanks(begin: Begin) -> None:
    """Lists come in the order of owner and name."""
    for owner, name in (("b", "x"), ("a", "x"), ("a", "X"), ("a", "x ")):
        await new_list(begin, name, owner)
    assert [(found.owner, found.name) for found in await begin().contacts.lists()] == [
        ("a", "X"),
        ("a", "x"),
        ("a", "x "),
        ("b", "x"),
    ]
    assert [found.owner for found in await begin().contacts.lists("b")] == ["b"]


async def test_an_owner_has_one_list_of_a_name(begin: Begin, database: AnyDatabase) -> None:
    """Two that are made at once: the second is a Conflict, with all that was to come into it."""
    first, second = begin(), begin()
    await first.contacts.new_list(OWNER, "Spring")
    twin = await second.contacts.new_list(OWNER, "Spring")
    await second.contacts.add(twin.id, [contact(1)])
    await first.commit()
    with pytest.raises(Conflict):
        await second.commit()
    assert await counts(database) == [(0, 0)]


async def test_a_contact_comes_back_as_it_was_given(begin: Begin, database: AnyDatabase) -> None:
    """Raw text: quotes, backslashes, line ends, other scripts, and the longest values that fit."""
    made = await new_list(begin)
    odd = {"city": "a\nb\t'\"\\%?{x}", "long": "\U0001f337" * 500}
    given = [contact(1, "Ann <3 & Co", **odd), contact(2), contact(3, "\U0001f337" * 256)]
    full = contact(4, None, **{f"f{number}": "\\\n" * 250 for number in range(20)})
    assert await add(begin, made.id, [*given, full]) == 4
    rows = await database.fetch("SELECT phone_number, chat_id, first_name FROM contact ORDER BY id")
    assert rows == [(each.phone_number, each.chat_id, each.first_name) for each in [*given, full]]
    assert await database.fetch("SELECT COUNT(*) FROM contact WHERE fields IS NULL") == [(2,)]
    assert await begin().contacts.field_names(made.id) == frozenset()


async def test_who_is_there_already_stays_as_they_are(begin: Begin, database: AnyDatabase) -> None:
    """Added again, alone and among others: not doubled, not changed, not counted; another list is its own."""
    made, other = await new_list(begin), await new_list(begin, "Autumn")
    assert await add(begin, made.id, [contact(1, "Ann"), contact(2)]) == 2
    assert await add(begin, made.id, [contact(1, "Anna"), contact(3), contact(3)]) == 1
    assert await add(begin, made.id, [contact(1), contact(2)]) == 0
    assert await add(begin, made.id, []) == 0
    assert await add(begin, other.id, [contact(1)]) == 1
    assert await counts(database) == [(3, 3), (1, 1)]
    assert await database.fetch("SELECT first_name FROM contact WHERE contact_list_id = ? ORDER BY id", (made.id,)) == [
        ("Ann",),
        (None,),
        (None,),
    ]


async def test_many_contacts_keep_their_order(begin: Begin, database: AnyDatabase) -> None:
    """More than one block of ids and one statement hold, in one transaction; half of them again in the next one."""
    made = await new_list(begin)
    assert await add(begin, made.id, [contact(number) for number in range(2_350)]) == 2_350
    assert await add(begin, made.id, [contact(number) for number in range(1_200, 3_000)]) == 650
    rows = await database.fetch("SELECT chat_id FROM contact WHERE contact_list_id = ? ORDER BY id", (made.id,))
    assert [str(row[0]) for row in rows] == [contact(number).chat_id for number in range(3_000)]
    assert await counts(database) == [(3_000, 3_000)]


async def test_a_list_that_is_gone_takes_nobody_in(begin: Begin, database: AnyDatabase) -> None:
    """A Conflict, and no contact without a list."""
    made = await new_list(begin)
    work = begin()
    await work.contacts.add(made.id, [contact(1)])
    await database.apply([Write("DELETE FROM contact_list WHERE id = ?", (made.id,))])
    with pytest.raises(Conflict):
        await work.commit()
    assert await database.fetch("SELECT COUNT(*) FROM contact") == [(0,)]


async def test_many_writers_to_one_list_keep_its_count_true(open_database: Opener, database: AnyDatabase) -> None:
    """Four processes add parts that overlap, all at once: everybody stands there once, each counted by one of them."""
    begins = [process_of(await open_database()) for _ in range(4)]
    made = await new_list(begins[0])
    parts = [range(start, start + 60) for start in range(0, 400, 20)]
    added = await asyncio.gather(
        *(
            add(begins[position % 4], made.id, [contact(number) for number in part])
            for position, part in enumerate(parts)
        )
    )
    assert sum(added) == 440
    assert await counts(database) == [(440, 440)]


async def test_the_fields_of_a_list_are_those_that_each_contact_has(begin: Begin) -> None:
    """So that a text which names them reaches nobody with braces in it."""
    made, empty = await new_list(begin), await new_list(begin, "empty")
    await add(begin, made.id, [contact(1, city="a", zip="b"), contact(2, city=""), contact(3, zip="x", city="c")])
    assert await begin().contacts.field_names(made.id) == {"city"}
    assert await begin().contacts.field_names(empty.id) == frozenset()


async def test_an_opt_out_is_kept_once(begin: Begin, database: AnyDatabase) -> None:
    """The first one stays with its reason and its time; a later one is known."""
    chat_id = contact(1).chat_id
    first, again = begin(), begin()
    assert await first.contacts.opt_out(chat_id, "STOP", 1_764_060_000_000) is True
    await first.commit()
    assert await again.contacts.opt_out(chat_id, "again", 1_764_060_000_001) is False
    await again.commit()
    assert await database.fetch("SELECT chat_id, phone_number, reason, at_ms FROM opt_out") == [
        (chat_id, contact(1).phone_number, "STOP", 1_764_060_000_000)
    ]


async def test_two_opt_outs_at_once_are_one(begin: Begin, database: AnyDatabase) -> None:
    """The slower one is a Conflict; read again, it is known."""
    chat_id = contact(1).chat_id
    first, second = begin(), begin()
    assert [await work.contacts.opt_out(chat_id, "STOP", 1) for work in (first, second)] == [True, True]
    await first.commit()
    with pytest.raises(Conflict):
        await second.commit()
    assert await begin().contacts.opt_out(chat_id, "STOP", 2) is False
    assert await database.fetch("SELECT COUNT(*) FROM opt_out") == [(1,)]


async def test_who_of_many_has_opted_out_is_found(begin: Begin) -> None:
    """Among more than one question holds, and among none."""
    for number in (3, 700, 1_200):
        work = begin()
        await work.contacts.opt_out(contact(number).chat_id, "", 1)
        await work.commit()
    everybody = [contact(number).chat_id for number in range(1_300)]
    contacts = begin().contacts
    assert await contacts.opted_out(everybody) == {contact(number).chat_id for number in (3, 700, 1_200)}
    assert await contacts.opted_out([]) == frozenset()
    assert await contacts.opted_out([contact(4).chat_id]) == frozenset()
