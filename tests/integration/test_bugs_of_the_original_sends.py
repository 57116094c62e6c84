"""What the system that we replace did wrong with what it sent: refusals, texts, numbers, lists, schedules.

Each test asserts the final state and the whole history: what the robot was told in its order, WAHA's own record of
what it accepted, and the ledger's rows. The numbers are those of docs/from-campaign-runner.md.
"""

import re

import pytest

from domain.wire import iso
from localstack.waha import Trouble, TroubleKind
from tests.integration.sending import (
    DAY_MS,
    DEAD_LETTERS,
    HOUR_MS,
    MINUTE_MS,
    ROBOT,
    SESSION,
    Opens,
    chat,
    chats,
    phone,
)
from tests.world import MORNING_MS

YEAR_MS = 365 * DAY_MS


async def test_a_number_that_whatsapp_refuses_burns_no_list(opens: Opens) -> None:
    """Bug 4: 463 for everybody ends after two contacts in a pause that stays, with forty-eight of fifty still to go."""
    async with opens(50, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        sending.waha.script.add(Trouble(TroubleKind.REACHOUT_LOCK))
        await sending.later(12 * HOUR_MS)
        assert sending.accepted() == []
        assert len(sending.waha.script.struck) == 2
        assert await sending.campaign() == ("Paused", "REACHOUT_LOCK")
        states = await sending.states()
        assert (states.count("PENDING"), states.count("SENT")) == (48, 0)
        assert sending.changes() == ["campaign.started", "campaign.paused"]
        assert (await sending.row())["completed_at_ms"] is None


async def test_failures_in_a_row_stop_the_number_before_the_list_is_burnt(opens: Opens) -> None:
    """Bug 4 in general: after five refusals, whatever they are, somebody has to look; none is called Completed."""
    async with opens(30, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        sending.waha.script.add(Trouble(TroubleKind.ENGINE_ERROR, text="no such thing"))
        await sending.later(12 * HOUR_MS)
        assert await sending.campaign() == ("Paused", "TOO_MANY_FAILURES")
        states = await sending.states()
        assert (states.count("FAILED"), states.count("PENDING")) == (5, 25)
        assert len(sending.waha.script.struck) == 5


async def test_one_bad_contact_stops_nobody_else(opens: Opens) -> None:
    """The seeds' rule that bug 4 grew out of: one refusal is counted with its reason, and the others go on."""
    async with opens(4) as sending:
        sending.waha.script.add(Trouble(TroubleKind.BAD_REQUEST, chats=frozenset({chat(1)})))
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats([0, 2, 3])
        assert await sending.states() == ["SENT", "FAILED", "SENT", "SENT"]
        assert (await sending.codes())[1] == "http-400"
        end = sending.last("campaign.completed")
        assert (end["sentCount"], end["failedCount"], end["totalContacts"]) == (3, 1, 4)


@pytest.mark.parametrize("kind", [TroubleKind.EMPTY, TroubleKind.ODD_JSON])
async def test_a_success_with_an_odd_body_is_a_success(opens: Opens, kind: TroubleKind) -> None:
    """Bug 8: delivered three, sent three, failed none, whatever stands in the answers."""
    async with opens(3) as sending:
        sending.waha.script.add(Trouble(kind))
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(3))
        assert await sending.ledger() == [(chat(number), "SENT", 1) for number in range(3)]
        end = sending.last("campaign.completed")
        assert (end["sentCount"], end["failedCount"]) == (3, 0)


CYRILLIC = "\U0001f337 \u0410\u043d\u043d\u0430"
ODD_NAMES = ("$&", "A$$ap", r"A\1", r"C:\new", "Ann <3", "{Name}", 'O\'Brien & "Co"', CYRILLIC)


async def test_every_name_and_text_reaches_people_as_it_was_written(opens: Opens) -> None:
    """Bugs 7 and 17: no sign of a name or a text is read as a pattern, a placeholder or HTML on its way to WAHA."""
    rows = [{"phoneNumber": phone(number), "firstName": name} for number, name in enumerate(ODD_NAMES)]
    async with opens(0, "<b>Hi {NAME}</b> & {name}: 5 < 6\n\\1 $& %s", rows=rows) as sending:
        await sending.later(HOUR_MS)
        assert sending.texts() == [
            (chat(number), f"<b>Hi {name}</b> & {name}: 5 < 6\n\\1 $& %s") for number, name in enumerate(ODD_NAMES)
        ]
        assert await sending.states() == ["SENT"] * len(ODD_NAMES)


async def test_who_has_no_name_is_called_by_the_default(opens: Opens) -> None:
    """The seeds' rule beside bug 7: a name is trimmed, and a blank or missing one is the campaign's default."""
    names = [" Ann ", "", "   ", None]
    rows = [{"phoneNumber": phone(number), "firstName": name} for number, name in enumerate(names)]
    async with opens(0, "{Name}|{name}|{NAME}", rows=rows) as sending:
        await sending.later(HOUR_MS)
        texts = [text for _, text in sending.texts()]
        assert texts == ["Ann|Ann|Ann", *["friend|friend|friend"] * 3]


async def test_what_would_go_out_in_braces_is_told_before_anybody_gets_it(opens: Opens) -> None:
    """Bug 9: a preview names unknown and doubled placeholders, and sends nothing."""
    text = "Hi {LastName}, {{Name}}, {City}, {name}"
    rows = [{"phoneNumber": phone(1), "fields": {"City": "Utrecht"}}]
    async with opens(0, text, rows=rows, scheduledAt=iso(MORNING_MS + HOUR_MS)) as sending:
        await sending.ask("preview")
        told = sending.last("campaign.preview")
        assert told["unknownPlaceholders"] == ["{LastName}", "{{Name}}"]
        assert told["contacts"] == 1
        assert sending.waha.requests == [request for request in sending.waha.requests if request.method == "GET"]
        assert sending.accepted() == []
        assert await sending.campaign() == ("Scheduled", None)


async def test_a_text_with_braces_left_waits_for_an_explicit_word(opens: Opens) -> None:
    """The start pauses before the first contact and says which; a resume is the word to send it as it is."""
    rows = [{"phoneNumber": phone(number), "fields": {"city": "Utrecht"}} for number in range(2)]
    async with opens(0, "Hi {LastName} of {city}, {name}", rows=rows) as sending:
        await sending.later(HOUR_MS)
        assert await sending.campaign() == ("Paused", "PLACEHOLDERS")
        assert (sending.accepted(), await sending.states()) == ([], ["PENDING", "PENDING"])
        told = sending.last("campaign.paused")
        assert (told["detail"], told["pendingCount"]) == ("{LastName} would reach people as it is", 2)
        await sending.ask("resume")
        await sending.later(HOUR_MS)
        assert sending.texts() == [(chat(number), "Hi {LastName} of Utrecht, friend") for number in range(2)]
        assert sending.changes() == ["campaign.paused", "campaign.resumed", "campaign.completed"]


async def test_local_numbers_are_refused_and_written_ones_understood(opens: Opens) -> None:
    """Bug 11: nobody is written to under a national number; signs and prefixes of a number make no difference."""
    whole = [f"+{phone(0)}", f"00{phone(1)}", "+999 00-000 (0002)", f"{phone(3)}@c.us"]
    rows = [{"phoneNumber": written} for written in (*whole, "0812345678", "99900", "9990O000001")]
    async with opens(0, rows=rows) as sending:
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(4))
        assert sending.last("campaign.completed")["totalContacts"] == 4


async def test_a_national_number_gets_the_country_that_was_named(opens: Opens) -> None:
    """Bug 11: only by the importer's explicit word; without it the row is told by its number."""
    async with opens(0, rows=[{"phoneNumber": phone(0)}], scheduledAt=iso(MORNING_MS + HOUR_MS)) as sending:
        row = {"phoneNumber": "0900 000 0001"}
        await sending.add_people([row], robotId=ROBOT)
        await sending.add_people([row], robotId=ROBOT, defaultCountry="999")
        told = [result["payload"] for result in sending.home.results(ROBOT) if result["type"] == "contacts.imported"]
        assert [(each["imported"], each["bad"]) for each in told] == [(0, 1), (1, 0)]
        assert [error["row"] for error in told[0]["errors"]] == [1]
        await sending.later(2 * HOUR_MS)
        assert sending.accepted() == [chat(0), "9999000000001@c.us"]


async def test_a_campaign_for_the_year_after_next_starts_then_and_once(opens: Opens) -> None:
    """Bug 14: not on the same day of an earlier year, and not again a year later."""
    due_ms = MORNING_MS + 2 * YEAR_MS
    async with opens(2, scheduledAt=iso(due_ms)) as sending:
        for year in (1, 2):
            await sending.home.pass_time(MORNING_MS + year * YEAR_MS - MINUTE_MS)
            assert (await sending.campaign(), sending.accepted()) == (("Scheduled", None), [])
            await sending.later(2 * MINUTE_MS - 1 if year == 1 else 0)
        await sending.later(HOUR_MS)
        assert (await sending.row())["started_at_ms"] == due_ms
        await sending.later(YEAR_MS + DAY_MS)
        assert sending.accepted() == chats(range(2))
        assert sending.changes() == ["campaign.started", "campaign.completed"]
        assert await sending.home.leftovers() == {}


async def test_who_stands_on_the_list_twice_gets_one_message(opens: Opens) -> None:
    """Bug 15: in one import and in two, in every way to write it; the count is of people."""
    rows = [{"phoneNumber": written} for written in (phone(0), f"+{phone(0)}", f"{phone(0)}@c.us", phone(1))]
    async with opens(0, rows=rows, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        await sending.add_people([{"phoneNumber": f"00{phone(1)}"}, {"phoneNumber": phone(2)}])
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(3))
        end = sending.last("campaign.completed")
        assert (end["totalContacts"], end["sentCount"]) == (3, 3)
        ((count,),) = await sending.home.database.fetch("SELECT contact_count FROM contact_list")
        assert count == 3


async def test_one_bad_row_refuses_no_other(opens: Opens) -> None:
    """Bug 16: the good rows of an import come in and are written to; the bad ones are told with their numbers."""
    async with opens(0, rows=[{"phoneNumber": phone(0)}], scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        rows = [{"phoneNumber": written} for written in (phone(1), "x", phone(2), "")]
        await sending.add_people(rows, robotId=ROBOT)
        told = sending.last("contacts.imported")
        assert (told["imported"], told["bad"], [error["row"] for error in told["errors"]]) == (2, 2, [2, 4])
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(3))


WAHA_S_OWN = re.compile(
    r"GET /api/sessions/default|GET /api/default/new-message-id|POST /api/sendText"
    r"|GET /api/default/chats/[0-9]+%40c\.us/messages(/\w+)?(\?.*)?"
)


async def test_only_addresses_that_waha_has_are_asked(opens: Opens) -> None:
    """Bug 23: over a campaign that its session pauses, each request is one of four, and WAHA knows its address."""
    async with opens(4) as sending:
        sending.waha.plan_status(SESSION, "STOPPED", after_accepted=3)
        await sending.later(2 * MINUTE_MS)
        sending.waha.set_status(SESSION, "WORKING")
        await sending.later(HOUR_MS)
        asked = [f"{request.method} {request.path}" for request in sending.waha.requests]
        assert [each for each in asked if not WAHA_S_OWN.fullmatch(each)] == []
        assert {request.status for request in sending.waha.requests} <= {200, 201, 422}
        assert asked.count("POST /api/sendText") == 4
        assert await sending.states() == ["SENT"] * 4


async def test_who_asks_for_another_s_list_or_campaign_hears_that_there_is_none(opens: Opens) -> None:
    """The seeds' ownership checks: not found, without saying whether it exists; nothing is made, nothing is sent."""
    async with opens(2, scheduledAt=iso(MORNING_MS + HOUR_MS)) as sending:
        await sending.create(userId="somebody-else")
        await sending.create(contactListId=77)
        for verb in ("run", "pause", "resume", "cancel", "status", "preview", "retry"):
            await sending.ask(verb, userId="somebody-else")
        await sending.ask("schedule", userId="somebody-else", scheduledAt=iso(MORNING_MS))
        refusals = [letter.attributes["errorKind"] for letter in sending.home.sqs.messages(DEAD_LETTERS)]
        assert refusals == ["not-found"] * 10
        assert await sending.home.database.fetch("SELECT COUNT(*) FROM campaign") == [(1,)]
        assert sending.accepted() == []
        assert await sending.campaign() == ("Scheduled", None)
