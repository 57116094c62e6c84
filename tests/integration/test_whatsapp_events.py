"""WAHA's webhooks through SQS, end to end on both engines: signatures, acknowledgements, opt-outs, sessions."""

import asyncio
import base64
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from localstack.waha_posts import Relay
from localstack.waha_webhooks import WahaWebhooks, Webhook
from tests.mariadb import MariaDb
from tests.whatsapp import HOUR_MS, MINUTE_MS, SESSION, TOLD, Told, chat, notified, told_world, wrapped
from tests.world import MORNING_MS

Opens = Callable[..., AbstractAsyncContextManager[Told]]
ANN, BOB, LID = chat(1), chat(2), "99900777001@lid"


@pytest.fixture(params=["sqlite", "mariadb"])
async def opens(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opens]:
    """Opens the world once on each engine."""
    server: MariaDb | None = None if request.param == "sqlite" else request.getfixturevalue("mariadb")
    address = None if server is None else server.new_database()
    yield partial(told_world, tmp_path / "robotd.db" if address is None else address)
    if server is not None and address is not None:
        server.drop(address)


@pytest.fixture
def opens_sqlite(tmp_path: Path) -> Opens:
    """The same on SQLite alone, for what the engine has no part in."""
    return partial(told_world, tmp_path / "robotd.db")


async def test_every_form_of_a_relay_brings_the_same_event(opens: Opens) -> None:
    """Headers as attributes in any case, headers and body in one JSON, base64, and SNS; a second copy does nothing."""
    async with opens() as told:
        await told.campaign(5)
        calls = [told.webhooks.ack(message, 2, MORNING_MS) for message in told.waha.accepted]
        shouted = {name.upper(): value for name, value in calls[0].headers.items()}
        in_base64 = wrapped(Webhook(_base64(calls[2].body), calls[2].headers), isBase64Encoded=True)
        for _ in range(2):
            await told.sender.send(TOLD, calls[0].body, shouted)
            await told.sender.send(TOLD, wrapped(calls[1]), {})
            await told.sender.send(TOLD, in_base64, {})
            await told.sender.send(TOLD, notified(calls[3]), {})
            await told.sender.send(TOLD, notified(Webhook(wrapped(calls[4]), {})), {})
        await told.home.quiet()
        assert await told.acks() == [2] * 5
        assert await told.outcomes() == [("done", "acknowledgement 2")] * 5
        ids = await told.column("SELECT message_id FROM inbox WHERE source = 'waha' ORDER BY message_id")
        assert ids == sorted(json.loads(call.body)["id"] for call in calls)
        assert told.letters() == []


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_what_waha_has_not_signed_is_buried_and_changes_nothing(opens: Opens) -> None:
    """No signature, another key's, another algorithm, and a body that was written anew by somebody in between."""
    async with opens() as told:
        await told.campaign(1)
        message = told.waha.accepted[0]
        good = told.webhooks.ack(message, 2, MORNING_MS)
        forged = [
            WahaWebhooks(key=None).ack(message, 2, MORNING_MS),
            WahaWebhooks(key="another").ack(message, 2, MORNING_MS),
            Webhook(good.body, {**good.headers, "X-Webhook-Hmac-Algorithm": "sha256"}),
            Webhook(good.body, {**good.headers, "X-Webhook-Hmac": "\u00e9" * 128}),
            Webhook(json.dumps(json.loads(good.body), indent=1), good.headers),
        ]
        await told.tell(*forged)
        for body in (wrapped(forged[1]), notified(forged[1]), "hello", "[]", "{}", '{"headers": 1, "body": 2}'):
            await told.sender.send(TOLD, body, {})
        await told.home.quiet()
        assert await told.acks() == [None]
        reason = "there is no signature of WAHA, or not one by waha.webhook_key"
        assert told.letters() == [("bad-signature", reason)] * 11
        assert {outcome for outcome, _ in await told.outcomes()} == {"rejected"}


async def test_letters_of_a_wrong_key_are_handled_once_they_are_moved_back(tmp_path: Path) -> None:
    """Also those whose headers found no room beside the reason: the key is corrected, and the letters count."""
    async with told_world(tmp_path / "robotd.db", key="the-right-one") as told:
        wrong = WahaWebhooks(key="the-wrong-one")
        few = wrong.inbound(SESSION, ANN, "stop", MORNING_MS)
        kept = {name: value for name, value in few.headers.items() if "Hmac" in name}
        await told.tell(Webhook(few.body, kept), wrong.inbound(SESSION, BOB, "stop", MORNING_MS))
        letters = told.home.sqs.messages(f"{TOLD}-dlq")
        assert [kind for kind, _ in told.letters()] == ["bad-signature"] * 2
    async with told_world(tmp_path / "robotd.db", key="the-wrong-one") as told:
        for letter in letters:
            await told.sender.send(TOLD, letter.body, letter.attributes)
        await told.home.quiet()
        assert await told.opted_out() == [ANN, BOB]


async def test_an_acknowledgement_only_rises_in_whatever_order_it_comes(opens: Opens) -> None:
    """Every order of server, device, read and an early error ends alike: read, and SENT; duplicates say nothing new."""
    async with opens() as told:
        orders = list(itertools.permutations((-1, 1, 2, 3)))[::4]
        await told.campaign(len(orders))
        for message, order in zip(told.waha.accepted, orders, strict=True):
            calls = [told.webhooks.ack(message, ack, MORNING_MS) for ack in order]
            await told.tell(*calls, calls[0])
        assert await told.acks() == [3] * len(orders)
        assert await told.states() == ["SENT"] * len(orders)
        assert told.letters() == []


async def test_an_error_after_the_send_makes_the_recipient_failed_unless_a_phone_has_the_message(opens: Opens) -> None:
    """-1 counts beside nothing, pending and server; a phone that has the message refutes it, before or after."""
    async with opens() as told:
        await told.campaign(6)
        for position, acks in enumerate([(-1,), (0, -1), (1, -1), (-1, 1), (2, -1), (-1, 2)]):
            for ack in acks:
                await told.ack(position, ack)
        assert await told.acks() == [-1, -1, -1, -1, 2, 2]
        assert await told.states() == ["FAILED"] * 4 + ["SENT"] * 2
        codes = await told.column("SELECT error_code FROM campaign_recipient ORDER BY position")
        assert codes == ["ack-error"] * 4 + [None] * 2
        assert await told.statuses() == [("Completed", None)]


async def test_an_acknowledgement_resolves_doubt(opens: Opens) -> None:
    """UNKNOWN becomes SENT as soon as WhatsApp's server has the message, also under the name of a hidden user id."""
    async with opens() as told:
        await told.campaign(4)
        await told.write_sql("UPDATE campaign_recipient SET state = 'UNKNOWN', error_code = 'crashed'")
        await told.ack(0, 1)
        await told.ack(1, 3, chat_id=LID)
        await told.ack(2, 0)
        await told.ack(3, -1)
        assert await told.states() == ["SENT", "SENT", "UNKNOWN", "UNKNOWN"]
        codes = await told.column("SELECT error_code FROM campaign_recipient ORDER BY position")
        assert codes == [None, None, "crashed", "crashed"]


async def test_who_is_to_be_sent_to_again_and_has_it_is_not(opens: Opens) -> None:
    """A retry of doubtful ones was asked for; a late word of the first attempt keeps one from a second text."""
    async with opens() as told:
        campaign_id = await told.campaign(2)
        await told.write_sql("UPDATE campaign_recipient SET state = 'UNKNOWN'")
        told.waha.set_status(SESSION, "STOPPED")
        await told.ask("campaign.retry", {"userId": "user-1", "campaignId": campaign_id, "scope": "unknown"})
        await told.home.pass_time(told.home.clock.now_ms() + MINUTE_MS)
        assert await told.states() == ["PENDING"] * 2
        await told.ack(0, 2)
        told.waha.set_status(SESSION, "WORKING")
        await told.home.pass_time(told.home.clock.now_ms() + HOUR_MS)
        assert await told.states() == ["SENT", "SENT"]
        assert [message.chat_id for message in told.waha.accepted] == [chat(0), chat(1), chat(1)]


async def test_an_acknowledgement_of_an_earlier_attempt_says_nothing_of_a_later_one(opens: Opens) -> None:
    """It is noted at its message, and the recipient stays as the later attempt left them."""
    async with opens() as told:
        await told.campaign(1)
        await told.write_sql("UPDATE campaign_recipient SET state = 'UNKNOWN', attempt = attempt + 1")
        await told.ack(0, 3)
        assert (await told.acks(), await told.states()) == ([3], ["UNKNOWN"])


async def test_an_acknowledgement_that_is_faster_than_the_answer_waits_for_it(opens: Opens) -> None:
    """While the send has no answer the event comes again; then it counts, an error as well as a doubt resolved."""
    async with opens() as told:
        await told.campaign(2)
        await told.write_sql("UPDATE campaign_recipient SET state = 'SENDING'")
        for position, ack in enumerate((-1, 1)):
            await told.put(told.webhooks.ack(told.waha.accepted[position], ack, MORNING_MS))
        await _until(told, 2)
        assert await told.acks() == [None, None]
        await told.write_sql("UPDATE campaign_recipient SET state = 'SENT' WHERE position = 0")
        await told.write_sql("UPDATE campaign_recipient SET state = 'UNKNOWN' WHERE position = 1")
        await told.home.quiet()
        assert (await told.acks(), await told.states()) == ([-1, 1], ["FAILED", "SENT"])


async def test_an_acknowledgement_that_is_faster_than_the_id_waits_for_it(opens: Opens) -> None:
    """A file's id is known with the answer only; an id that nobody ever sent is let go, once nothing is on its way."""
    async with opens() as told:
        await told.campaign(2)
        await told.write_sql("DELETE FROM campaign_message")
        await told.write_sql("UPDATE campaign_recipient SET state = 'SENDING' WHERE position = 1")
        await told.put(told.webhooks.ack(told.waha.accepted[0], 2, MORNING_MS))
        await _until(told, 1)
        await told.know_messages()
        await told.write_sql("UPDATE campaign_recipient SET state = 'SENT' WHERE position = 1")
        await told.home.quiet()
        assert await told.acks() == [2, None]
        await told.write_sql("DELETE FROM campaign_message")
        await told.ack(0, 3)
        assert (await told.outcomes())[-1] == ("done", "not ours")
        assert told.letters() == []


async def _until(told: Told, retries: int) -> None:
    """Wait until that many events were put off."""
    async with asyncio.timeout(10):
        while sum(outcome == "retried" for outcome, _ in await told.outcomes()) < retries:
            await told.home._a_moment()


@pytest.mark.parametrize(
    ("text", "is_opt_out"),
    [
        ("STOP", True),
        ("Afmelden aub", True),
        ("please stop sending me messages", True),
        ("geen zin meer!", True),
        ("can you stop the pain?", False),
        ("I did not stop the messages", False),
        ("See you at the bus stop", False),
        ("", False),
    ],
)
async def test_who_wants_no_more_is_opted_out_and_nobody_else(
    opens_sqlite: Opens, text: str, is_opt_out: object
) -> None:
    """Whole keywords, ours and the operator's, and sentences about messages; no word in any other sentence."""
    async with opens_sqlite(opt_out_keywords="halt, geen zin meer") as told:
        await told.write(ANN, text)
        assert await told.opted_out() == ([ANN] if is_opt_out else [])
        assert told.letters() == []


async def test_an_opt_out_keeps_a_running_campaign_from_that_person(opens: Opens) -> None:
    """The third of four asks for no more while the first has just been written to: everybody else gets the letter."""
    async with opens() as told:
        await told.campaign(4, sent=1)
        await told.write(chat(2), "Stop!")
        await told.home.pass_time(told.home.clock.now_ms() + HOUR_MS)
        assert await told.states() == ["SENT", "SENT", "SKIPPED", "SENT"]
        assert [message.chat_id for message in told.waha.accepted] == [chat(0), chat(1), chat(3)]


async def test_a_hidden_user_id_is_opted_out_with_its_number(opens: Opens) -> None:
    """Both are kept; of one whose number nobody knows only itself; again it changes nothing."""
    async with opens() as told:
        told.waha.records.lids[LID] = ANN
        await told.write(LID, "stop")
        await told.write(LID, "stop")
        await told.write("99900777002@lid", "stop")
        assert await told.opted_out() == sorted([ANN, LID, "99900777002@lid"])
        assert [reason for _, reason in await told.outcomes()] == [
            "opted out, with the number",
            "opted out, with the number",
            "opted out, and no number is known",
        ]


async def test_a_number_that_waha_can_not_tell_now_is_asked_for_again(opens: Opens) -> None:
    """The hidden id is kept at once; the number follows as soon as the session works again. Nothing is buried."""
    async with opens() as told:
        told.waha.records.lids[LID] = ANN
        told.waha.set_status(SESSION, "STOPPED")
        await told.put(told.webhooks.inbound(SESSION, LID, "stop", MORNING_MS))
        await _until(told, 1)
        assert await told.opted_out() == [LID]
        told.waha.set_status(SESSION, "WORKING")
        await told.home.quiet()
        assert await told.opted_out() == sorted([ANN, LID])
        assert told.letters() == []


async def test_in_a_group_the_person_is_opted_out_not_the_group(opens_sqlite: Opens) -> None:
    """One member can't speak for the others; our own words, channels and pictures say nothing."""
    async with opens_sqlite() as told:
        group = "99900000000000001@g.us"
        for payload in (
            {"from": group, "participant": BOB.replace("@c.us", ":12@s.whatsapp.net"), "body": "stop", "fromMe": False},
            {"from": group, "participant": None, "body": "stop", "fromMe": False},
            {"from": ANN, "body": "stop", "fromMe": True},
            {"from": "99900000001@newsletter", "body": "stop", "fromMe": False},
            {"from": "status@broadcast", "body": "stop", "fromMe": False},
            {"from": ANN, "body": None, "hasMedia": True, "fromMe": False},
        ):
            await told.tell(told.webhooks.call("message", SESSION, payload, MORNING_MS))
        await told.tell(told.webhooks.own(SESSION, ANN, "stop", MORNING_MS))
        assert await told.opted_out() == [BOB]
        assert told.letters() == []


async def test_a_session_that_stops_pauses_all_its_campaigns_at_once(opens: Opens) -> None:
    """Without waiting for their next contact; those of another session go on, and nobody is burnt."""
    async with opens(gap_min_s=3000, gap_max_s=3000) as told:
        told.waha.add_session("other")
        await told.campaign(3, sent=1)
        await told.campaign(3, sent=0)
        await told.campaign(3, session="other", sent=1)
        told.waha.set_status(SESSION, "STOPPED")
        await told.nudge()
        stopped = ("Paused", "SESSION_NOT_WORKING")
        assert await told.statuses() == [stopped, stopped, ("Running", None)]
        assert await told.states() == ["SENT", "PENDING", "PENDING", *["PENDING"] * 3, "SENT", "PENDING", "PENDING"]
        last = [result for result in told.home.results(61001) if result["type"] == "campaign.paused"]
        assert [result["payload"]["lastProcessedContactIndex"] for result in last] == [1, 0]


class Fails:
    """A probe that lets the next passes of one point fail, once it is armed."""

    def __init__(self, point: str) -> None:
        self._point = point
        self.left = self.struck = 0

    async def __call__(self, point: str) -> None:
        if point == self._point and self.left > 0:
            self.left -= 1
            self.struck += 1
            raise ConnectionError("as if the process had ended here")


@pytest.mark.parametrize("point", ["after_commit_now", "after_upstream", "after_handle"])
async def test_an_event_that_breaks_off_in_the_middle_is_done_at_the_second_try(opens: Opens, point: str) -> None:
    """Some campaigns are paused already, one number is opted out: the others follow, and nothing is done twice."""
    probe = Fails(point)
    async with opens(probe=probe, gap_min_s=3000, gap_max_s=3000) as told:
        for sent in (1, 0, 0):
            await told.campaign(3, sent=sent)
        told.waha.records.lids[LID] = ANN
        told.waha.set_status(SESSION, "STOPPED")
        probe.left = 2
        await told.nudge()
        assert await told.statuses() == [("Paused", "SESSION_NOT_WORKING")] * 3
        told.waha.set_status(SESSION, "WORKING")
        probe.left = 1
        await told.write(LID, "stop")
        assert await told.opted_out() == sorted([ANN, LID])
        probe.left = 1
        await told.ack(0, 2)
        assert await told.acks() == [2]
        told_paused = [result["type"] for result in told.home.results(61001)].count("campaign.paused")
        assert (told_paused, told.letters()) == (3, [])
        assert probe.struck >= 3


async def test_an_old_word_of_a_session_changes_nothing(opens: Opens) -> None:
    """The session is asked: STOPPED that was long ago, WORKING that is no longer true, STARTING that will pass."""
    async with opens(gap_min_s=3000, gap_max_s=3000) as told:
        await told.campaign(3, sent=1)
        told.waha.set_status(SESSION, "STOPPED")
        stopped = told.webhooks.session_status(SESSION, told.waha.history(SESSION))
        told.waha.set_status(SESSION, "WORKING")
        working = told.webhooks.session_status(SESSION, told.waha.history(SESSION))
        await told.tell(working, stopped)
        assert await told.statuses() == [("Running", None)]
        told.waha.set_status(SESSION, "STARTING")
        await told.nudge()
        assert await told.statuses() == [("Running", None)]
        told.waha.set_status(SESSION, "FAILED")
        await told.tell(told.webhooks.call("session.status", SESSION, json.loads(working.body)["payload"], MORNING_MS))
        assert await told.statuses() == [("Paused", "SESSION_NOT_WORKING")]


async def test_a_session_that_is_gone_or_can_not_be_asked_is_told_apart(opens_sqlite: Opens) -> None:
    """A missing session pauses with its own reason; a WAHA that does not answer says nothing certain."""
    async with opens_sqlite(gap_min_s=3000, gap_max_s=3000) as told:
        await told.campaign(3, sent=1)
        told.waha.set_api_key("another")
        await told.nudge()
        assert await told.statuses() == [("Running", None)]
        assert (await told.outcomes())[-1] == ("done", "nothing certain: the session is not reached")
        told.waha.set_api_key(
            str(told.home.settings.waha.api_key and told.home.settings.waha.api_key.get_secret_value())
        )
        told.waha.remove_session(SESSION)
        await told.tell(
            told.webhooks.call("session.status", SESSION, {"name": SESSION, "status": "STOPPED"}, MORNING_MS)
        )
        assert await told.statuses() == [("Paused", "SESSION_NOT_FOUND")]


async def test_a_session_that_works_again_lets_the_pause_heal_sooner(opens: Opens) -> None:
    """From the event on it must hold for a minute: the campaign goes on then, not at the next look but one."""
    async with opens(gap_min_s=10, gap_max_s=10) as told:
        await told.campaign(3, sent=1)
        clock = told.home.clock
        told.waha.set_status(SESSION, "STOPPED")
        await told.nudge()
        paused_ms = clock.now_ms()
        await told.home.pass_time(paused_ms + 5_000)
        told.waha.set_status(SESSION, "WORKING")
        await told.nudge()
        assert (await told.outcomes())[-1] == ("done", "the session works: 1 paused campaigns look again")
        await told.home.pass_time(paused_ms + 64_000)
        assert (await told.statuses())[0][0] == "Paused"
        await told.home.pass_time(paused_ms + 66_000)
        assert (await told.statuses())[0][0] == "Running"
        await told.home.pass_time(paused_ms + HOUR_MS)
        assert await told.statuses() == [("Completed", None)]
        assert [message.chat_id for message in told.waha.accepted] == [chat(number) for number in range(3)]


async def test_a_session_that_flaps_starts_its_minute_anew_each_time(opens: Opens) -> None:
    """A break between two looks is told by its event: what worked for less than a minute has not healed."""
    async with opens(gap_min_s=10, gap_max_s=10) as told:
        await told.campaign(3, sent=1)
        clock = told.home.clock
        for status in ("STOPPED", "WORKING", "FAILED", "WORKING"):
            told.waha.set_status(SESSION, status)
            await told.nudge()
            await told.home.pass_time(clock.now_ms() + 40_000)
        assert await told.statuses() == [("Paused", "SESSION_NOT_WORKING")]
        await told.home.pass_time(clock.now_ms() + HOUR_MS)
        assert await told.statuses() == [("Completed", None)]
        assert [message.chat_id for message in told.waha.accepted] == [chat(number) for number in range(3)]


async def test_a_pause_by_its_user_does_not_heal_by_an_event(opens: Opens) -> None:
    """WORKING is no reason to go on for a campaign that somebody has stopped."""
    async with opens() as told:
        campaign_id = await told.campaign(3, sent=1)
        await told.ask("campaign.pause", {"userId": "user-1", "campaignId": campaign_id})
        await told.nudge()
        await told.home.pass_time(told.home.clock.now_ms() + HOUR_MS)
        assert await told.statuses() == [("Paused", "OPERATOR")]


async def test_events_in_any_order_and_number_end_alike(opens: Opens) -> None:
    """A hundred events, each twice, shuffled: the highest acknowledgements, one opt-out each, every event settled."""
    async with opens() as told:
        await told.campaign(8)
        dice = random.Random(20251125)
        calls = [told.webhooks.ack(message, ack, MORNING_MS) for message in told.waha.accepted for ack in (0, 1, 2, 3)]
        calls += [told.webhooks.inbound(SESSION, chat(number % 3), "stop", MORNING_MS) for number in range(9)]
        calls += [told.webhooks.session_status(SESSION, told.waha.history(SESSION)) for _ in range(5)]
        calls += [
            told.webhooks.call(kind, SESSION, {"a": 1}, MORNING_MS) for kind in ("message.any", "call.received", "x")
        ]
        twice = [*calls, *calls]
        dice.shuffle(twice)
        await asyncio.gather(*(told.put(call) for call in twice))
        await told.home.quiet()
        assert await told.acks() == [3] * 8
        assert await told.opted_out() == [chat(0), chat(1), chat(2)]
        outcomes = [outcome for outcome, _ in await told.outcomes()]
        assert (outcomes.count("done"), outcomes.count("rejected")) == (len(calls), 0)
        assert told.letters() == []


async def test_a_waha_that_tells_by_itself_is_understood(opens: Opens) -> None:
    """The simulator posts what happens: acknowledgements of each text, the session's breaks, what people write."""
    async with opens() as told:
        posts = told.waha.post_webhooks(Relay(told.sender, TOLD, told.key, acks=(1, 2)))
        await told.campaign(3, sent=2)
        await told.home.quiet()
        told.waha.set_status(SESSION, "STOPPED")
        posts.written(SESSION, chat(2), "stop")
        await posts.drained()
        await told.home.quiet()
        assert await told.statuses() == [("Paused", "SESSION_NOT_WORKING")]
        assert await told.opted_out() == [chat(2)]
        assert (posts.failed, posts.posted) == ([], 1 + 2 * 2 + 1 + 1)
        await told.know_messages()
        told.waha.set_ack(told.waha.accepted[1].id, 4)
        await posts.drained()
        await told.home.quiet()
        assert await told.acks() == [None, 4]
        told.home.sqs.missing_queues.add(TOLD)
        posts.written(SESSION, chat(1), "stop")
        await posts.drained()
        told.home.sqs.missing_queues.clear()
        assert len(posts.failed) == 1


async def test_nothing_of_what_people_write_is_in_the_journal(opens: Opens) -> None:
    """Neither texts nor numbers, whatever is wrong with an event; the letter alone has its body."""
    async with opens() as told:
        await told.campaign(1)
        await told.write(ANN, "stop sending me messages, I live at 12 Secret Street")
        await told.write(BOB, "my Secret")
        await told.tell(
            told.webhooks.call("message", SESSION, {"from": 999000000000001, "body": "my Secret"}, MORNING_MS),
            told.webhooks.call("message.ack", SESSION, {"id": f"true_{ANN}_A", "ack": "my Secret"}, MORNING_MS),
            told.webhooks.call("message", "my Secret 99900", {"from": ANN}, MORNING_MS),
            Webhook(json.dumps({"id": ANN, "type": ANN, "source": "my Secret", "data": {"robotId": 7}}), {}),
        )
        assert sorted(kind for kind, _ in told.letters()) == ["bad-signature", *["invalid-event"] * 3]
        rows = await told.home.database.fetch("SELECT * FROM journal WHERE queue = ?", (TOLD,))
        text = json.dumps([list(row) for row in rows]) + json.dumps(told.letters())
        assert [word for word in ("Secret", "99900", "c.us") if word in text] == []
