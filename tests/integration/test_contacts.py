"""Commands of contacts end to end on both engines: import, opt-out, repeats, bad rows, and who is told."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from domain.messages import reply_id
from tests.mariadb import MariaDb
from tests.world import World, command, world

ROBOT = 61001
Told = list[dict[str, Any]]


@pytest.fixture(params=["sqlite", "mariadb"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A world on each engine."""
    if request.param == "sqlite":
        async with world(tmp_path / "robotd.db") as opened:
            yield opened
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    async with world(address) as opened:
        yield opened
    server.drop(address)


def phone(number: int) -> str:
    return f"99900{number:07d}"


def contacts(*rows: Mapping[str, object], **more: object) -> dict[str, object]:
    return {"userId": "user-1", "listName": "Spring", "robotId": ROBOT, "rows": list(rows), **more}


async def send(home: World, *bodies: str) -> Told:
    """Send all at once, wait until all is quiet, and return what the robot has been told so far."""
    for body in bodies:
        home.sqs.send(home.settings.queues.commands, body)
    await home.quiet()
    return home.results(ROBOT)


async def rows_of(home: World, sql: str) -> Sequence[tuple[object, ...]]:
    return await home.database.fetch(sql)


async def notes(home: World) -> list[object]:
    """What the journal says, in its order."""
    return [row[0] for row in await rows_of(home, "SELECT reason FROM journal ORDER BY at_ms, id")]


async def test_good_rows_come_in_and_bad_ones_are_told_by_row(home: World) -> None:
    """One answer with counts and reasons, by the command's id; the list is made, and its count is true."""
    rows: list[dict[str, object]] = [
        {"phoneNumber": f"+{phone(1)}", "firstName": " Ann ", "fields": {"City": "Utrecht"}},
        {"phoneNumber": "0612"},
        {"phoneNumber": f"00{phone(1)}", "firstName": "Ann again"},
        {"phoneNumber": phone(2), "firstName": "n" * 300},
        {"phoneNumber": phone(3)},
    ]
    async with home.running():
        (told,) = await send(home, command("contacts.import", contacts(*rows), id="i-1", callref="why"))
    assert (told["type"], told["id"], told["callRef"]) == ("contacts.imported", reply_id("test", "i-1"), "why")
    assert told["payload"] == {
        "listId": 1,
        "listName": "Spring",
        "rows": 5,
        "imported": 2,
        "duplicates": 1,
        "bad": 2,
        "errors": [
            {"row": 2, "message": "a leading 0 needs a default country, or write the number with its country code"},
            {"row": 4, "message": "first_name has 300 characters, at most 256 fit"},
        ],
    }
    assert await rows_of(home, "SELECT owner, name, contact_count FROM contact_list") == [("user-1", "Spring", 2)]
    assert await rows_of(home, "SELECT chat_id, first_name, fields FROM contact ORDER BY id") == [
        (f"{phone(1)}@c.us", "Ann", '{"city": "Utrecht"}'),
        (f"{phone(3)}@c.us", None, None),
    ]
    assert await notes(home) == ["2 imported, 1 duplicates, 2 bad of 5 rows"]
    assert await home.leftovers() == {}


async def test_a_repeat_changes_nothing(home: World) -> None:
    """Redelivered it is a duplicate; sent anew it answers that everybody is there."""
    body = command("contacts.import", contacts({"phoneNumber": phone(1)}, {"phoneNumber": phone(2)}), id="i-1")
    again = command("contacts.import", contacts({"phoneNumber": phone(1)}, {"phoneNumber": phone(2)}), id="i-2")
    async with home.running():
        await send(home, body)
        await send(home, body)
        told = await send(home, again)
    assert [(each["payload"]["imported"], each["payload"]["duplicates"]) for each in told] == [(2, 0), (0, 2)]
    assert await rows_of(home, "SELECT contact_count FROM contact_list") == [(2,)]
    assert await rows_of(home, "SELECT COUNT(*) FROM contact") == [(2,)]


async def test_imports_at_once_into_one_new_list_are_one_list(home: World) -> None:
    """Twelve commands without a robot, whose parts overlap, in any order: everybody once, and the count is true."""
    parts = [range(start, start + 30) for start in range(0, 120, 10)]
    bodies = [
        command("contacts.import", contacts(*({"phoneNumber": phone(one)} for one in part), robotId=None))
        for part in parts
    ]
    async with home.running():
        assert await send(home, *bodies) == []
    assert await rows_of(home, "SELECT contact_count FROM contact_list") == [(140,)]
    assert await rows_of(home, "SELECT COUNT(*), COUNT(DISTINCT chat_id) FROM contact") == [(140, 140)]
    done = [str(note) for note in await notes(home) if " imported, " in str(note)]
    assert len(done) == len(parts)
    assert sum(int(note.split(" ", 1)[0]) for note in done) == 140
    assert await home.leftovers() == {}


async def test_a_thousand_rows_fit_into_one_command(home: World) -> None:
    """By the id of the list, with numbers of a default country."""
    thousand = [{"phoneNumber": f"0{number:09d}"} for number in range(100_000_000, 100_001_000)]
    async with home.running():
        await send(home, command("contacts.import", contacts({"phoneNumber": phone(1)})))
        more = contacts(*thousand, listName=None, listId=1, defaultCountry="999")
        told = await send(home, command("contacts.import", more))
    assert told[1]["payload"]["imported"] == 1_000
    assert await rows_of(home, "SELECT contact_count FROM contact_list") == [(1_001,)]


BAD: dict[str, tuple[str, dict[str, object], str, str]] = {
    "a list that is not there": (
        "contacts.import",
        contacts({"phoneNumber": phone(1)}, listName=None, listId=77),
        "no-such-list",
        "no contact list 77",
    ),
    "no list": ("contacts.import", contacts({"phoneNumber": phone(1)}, listName=None), "invalid-data", "either listId"),
    "two lists": ("contacts.import", contacts({"phoneNumber": phone(1)}, listId=1), "invalid-data", "either listId"),
    "a blank name": (
        "contacts.import",
        contacts({"phoneNumber": phone(1)}, listName=" "),
        "invalid-data",
        "list's name",
    ),
    "no rows": ("contacts.import", contacts(), "invalid-data", "rows"),
    "too many rows": ("contacts.import", contacts(*[{"phoneNumber": "1"}] * 1_001), "invalid-data", "rows"),
    "a typo": ("contacts.import", contacts({"phone": phone(1)}), "invalid-data", "rows.0.phone: Extra inputs"),
    "an opt-out of nobody": ("opt-out.add", {"robotId": ROBOT}, "invalid-data", "either phoneNumber or chatId"),
    "an opt-out of a channel": (
        "opt-out.add",
        {"robotId": ROBOT, "chatId": "99900000@newsletter"},
        "invalid-phone",
        "channel",
    ),
    "an opt-out of a local number": (
        "opt-out.add",
        {"robotId": ROBOT, "phoneNumber": "0900000001"},
        "invalid-phone",
        "default country",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_can_t_be_done_is_told_and_leaves_nothing(home: World, case: str) -> None:
    """The robot hears the reason, the message lies in the dead-letter queue with it, no row is written."""
    command_type, data, kind, says = BAD[case]
    async with home.running():
        (told,) = await send(home, command(command_type, data))
    (letter,) = home.sqs.messages(f"{home.settings.queues.commands}-dlq")
    assert (told["type"], told["payload"]["kind"], letter.attributes["errorKind"]) == ("error", kind, kind)
    assert says in told["payload"]["error"]
    for table in ("contact_list", "contact", "opt_out"):
        assert await rows_of(home, f"SELECT COUNT(*) FROM {table}") == [(0,)]  # noqa: S608  a table name of ours


async def test_a_list_of_somebody_else_is_not_there(home: World) -> None:
    """Its id is refused; the same name is another list."""
    async with home.running():
        await send(home, command("contacts.import", contacts({"phoneNumber": phone(1)})))
        foreign = contacts({"phoneNumber": phone(2)}, userId="user-2", listName=None, listId=1)
        own = contacts({"phoneNumber": phone(3)}, userId="user-2")
        await send(home, command("contacts.import", foreign))
        told = await send(home, command("contacts.import", own))
    assert [each["type"] for each in told] == ["contacts.imported", "error", "contacts.imported"]
    assert await rows_of(home, "SELECT owner, contact_count FROM contact_list ORDER BY id") == [
        ("user-1", 1),
        ("user-2", 1),
    ]


async def test_an_opt_out_is_kept_once_however_the_person_is_named(home: World) -> None:
    """By number, by chat id, twice, and at once: one row with the first reason; who names a robot is told."""
    by_number = {"phoneNumber": f"+{phone(1)}", "reason": "asked by phone", "robotId": ROBOT}
    by_chat_id = {"chatId": f"{phone(1)}@c.us", "reason": "again", "robotId": ROBOT}
    async with home.running():
        await send(home, command("opt-out.add", by_number))
        told = await send(home, command("opt-out.add", by_chat_id))
        await send(home, *(command("opt-out.add", {"phoneNumber": phone(2)}) for _ in range(8)))
    chat_id = f"{phone(1)}@c.us"
    assert [(each["type"], each["payload"]) for each in told] == [
        ("opt-out.added", {"chatId": chat_id, "isNew": True}),
        ("opt-out.added", {"chatId": chat_id, "isNew": False}),
    ]
    assert await rows_of(home, "SELECT chat_id, reason, at_ms FROM opt_out ORDER BY chat_id") == [
        (chat_id, "asked by phone", home.clock.now_ms()),
        (f"{phone(2)}@c.us", "", home.clock.now_ms()),
    ]
    assert sorted(str(note) for note in await notes(home)) == ["added", "added", *["known"] * 8]
    assert len(home.results(ROBOT)) == 2
    assert await home.leftovers() == {}
