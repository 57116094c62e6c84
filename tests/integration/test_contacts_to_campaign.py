"""From a file to messages: what the command line imports, a campaign sends, on both engines."""

import asyncio
import json
from pathlib import Path
from typing import Any

from daemon.store.database import Write
from domain.wire import iso
from tests.e2e.processes import robotd
from tests.integration.sending import (
    HOUR_MS,
    MINUTE_MS,
    ROBOT,
    USER,
    Opens,
    Place,
    Sending,
    chat,
    chats,
    phone,
    prepared,
)
from tests.world import MORNING_MS

FILLER = "99911%"  # so many rows that a repeat comes in another batch


async def imported(sending: Sending, file: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """Exit code and answer of `robotd contacts import`, beside the world's database."""
    database = sending.home.settings.database
    variables = {"ROBOTD_DATABASE__URL": database.url}
    if database.password is not None:
        variables["ROBOTD_DATABASE__PASSWORD"] = database.password.get_secret_value()
    arguments = ("contacts", "import", file.name, "--list", "Spring", "--owner", USER, "--json", *more)
    ended = await asyncio.to_thread(robotd, *arguments, folder=file.parent, more=variables)
    assert ended.stderr == ""
    answer: dict[str, Any] = json.loads(ended.stdout)
    return ended.returncode, answer


async def test_a_file_becomes_messages_to_each_of_its_people_once(
    database_place: Place, media_folder: Path, tmp_path: Path
) -> None:
    """Good rows in the file's order with their fields, repeats far apart once, bad rows nowhere but in the answer."""
    filler = [f"99911{number:07d};;" for number in range(600)]
    head = ["\ufeff Phone_Number ;FIRST_NAME;City;Shoe size", f"+{phone(3)}; Ann <3 ;Utrecht;38", "0612345678;Bob;;"]
    tail = ["", f"00{phone(3)};Ann again;Delft;", f"{phone(1)};;;", "x;;;", f"{phone(2)}@c.us;$& \\1;'s-Gravenhage"]
    file = tmp_path / "people.csv"
    file.write_text("\r\n".join([*head, *filler, *tail]), encoding="utf-8")
    async with prepared(database_place, media_folder, campaigns={"gap_min_s": 0, "gap_max_s": 0}) as sending:
        code, answer = await imported(sending, file)
        assert code == 1
        counts = {name: answer[name] for name in ("rows", "imported", "duplicates", "bad")}
        assert counts == {"rows": 606, "imported": 603, "duplicates": 1, "bad": 2}
        assert [error["row"] for error in answer["errors"]] == [3, 607]
        assert answer["ignoredColumns"] == ["'shoe size'"]
        await sending.home.database.apply([Write("DELETE FROM contact WHERE phone_number LIKE ?", (FILLER,), rows=600)])
        async with sending.home.running():
            await sending.create(text="{name} of {city}.")
            await sending.later(HOUR_MS)
        assert sending.texts() == [
            (chat(3), "Ann <3 of Utrecht."),
            (chat(1), "friend of ."),
            (chat(2), "$& \\1 of 's-Gravenhage."),
        ]


async def test_the_same_file_again_sends_to_nobody_twice(
    database_place: Place, media_folder: Path, tmp_path: Path
) -> None:
    """Imported a second time, with a country for its national number: one contact more, and still one message each."""
    file = tmp_path / "people.csv"
    file.write_text(f"first_name,phone_number\nAnn,{phone(0)}\nBob,0900 000 0001\n", encoding="utf-8")
    async with prepared(database_place, media_folder) as sending:
        first = await imported(sending, file)
        again = await imported(sending, file, "--default-country", "999")
        assert [(code, answer["imported"], answer["duplicates"]) for code, answer in (first, again)] == [
            (1, 1, 0),
            (0, 1, 1),
        ]
        async with sending.home.running():
            await sending.create()
            await sending.later(HOUR_MS)
        assert sending.accepted() == [chat(0), "9999000000001@c.us"]


async def test_who_opted_out_long_ago_is_left_out_of_every_later_list(opens: Opens) -> None:
    """However the number was written then and is written now, and whoever's list it is."""
    rows = [{"phoneNumber": phone(0)}, {"phoneNumber": "+999 00-000 (0001)"}, {"phoneNumber": "9999000000001"}]
    async with opens(1, scheduledAt=iso(MORNING_MS + 48 * HOUR_MS)) as sending:
        await sending.tell(
            ("opt-out.add", {"chatId": chat(1)}),
            ("opt-out.add", {"phoneNumber": "0900 000 0001", "defaultCountry": "999", "robotId": ROBOT}),
        )
        assert sending.last("opt-out.added")["chatId"] == "9999000000001@c.us"
        await sending.tell(("contacts.import", {"userId": "user-2", "listName": "New", "rows": rows}))
        await sending.create(userId="user-2", contactListId=2, scheduledAt=iso(MORNING_MS + MINUTE_MS))
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats([0])
        assert await sending.states(2) == ["SENT", "SKIPPED", "SKIPPED"]
