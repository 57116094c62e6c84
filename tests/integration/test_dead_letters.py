"""Dead letters: whole, with a reason, and never lost when the queue behind is not there."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from daemon.delivery import Rejection
from domain.errors import Unavailable
from domain.wire import MAX_MESSAGE_BYTES
from localstack.sqs import StoredMessage
from tests.parts import DEAD, QUEUE, Delivered, Parts, consuming, done, parts, wishes

pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
REASON = Rejection("no-way", "because", "Wishes.grant", 3, 1_764_060_000_000, 1_764_060_060_000)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Parts]:
    async with parts(tmp_path) as opened:
        yield opened


async def buried(
    home: Parts, body: str = "{}", attributes: Mapping[str, str] | None = None, rejection: Rejection = REASON
) -> StoredMessage:
    await home.letters.bury(Delivered(body, "d-1", 3, attributes or {}), rejection)
    (letter,) = home.server.messages(DEAD)
    return letter


async def parked(home: Parts) -> dict[str, str]:
    return {str(key): str(body) for key, body in await home.database.fetch("SELECT id, body FROM parked_body")}


async def test_a_letter_says_why_where_how_often_and_when(home: Parts) -> None:
    """Seven attributes for a person, the body as it came, and the message's own attributes beside them."""
    letter = await buried(home, '{"a": 1}', {"callRef": "ref", "errorKind": "mine"})
    assert letter.body == '{"a": 1}'
    assert letter.attributes == {
        "errorKind": "no-way",
        "errorMessage": "because",
        "handler": "Wishes.grant",
        "attempts": "3",
        "firstAttemptAt": "2025-11-25T08:40:00.000Z",
        "lastAttemptAt": "2025-11-25T08:41:00.000Z",
        "sourceQueue": QUEUE,
        "callRef": "ref",
    }


async def test_more_attributes_than_sqs_allows_are_kept_as_one(home: Parts) -> None:
    """Nine of the sender's own become one attribute of JSON; two stay as they are."""
    own = {f"note{number}": f"caf\u00e9 {number}" for number in range(9)}
    letter = await buried(home, attributes=own)
    assert json.loads(letter.attributes["originalAttributes"]) == own
    assert len(letter.attributes) == 8


@pytest.mark.parametrize("size", [MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES - 100])
async def test_a_body_that_leaves_no_room_for_the_reason_is_kept_in_the_database(home: Parts, size: int) -> None:
    """The letter carries the head and where the whole is; nothing is cut for good."""
    body = "\u00e9" * (size // 2)
    letter = await buried(home, body)
    assert json.loads(letter.body)["head"] == body[:4000]
    assert letter.attributes["bodyKeptAs"] == "d-1"
    assert await parked(home) == {"d-1": body}


async def test_attributes_that_leave_no_room_are_kept_in_the_database_too(home: Parts) -> None:
    """A message may consist of attributes alone: the letter still leaves the queue, and nothing of it is lost."""
    own = {"note": "\u00e9" * (MAX_MESSAGE_BYTES // 2 - 20)}
    letter = await buried(home, attributes=own)
    kept = await parked(home)
    assert kept[letter.attributes["bodyKeptAs"]] == "{}"
    assert json.loads(kept[letter.attributes["attributesKeptAs"]]) == own
    assert letter.attributes["errorMessage"] == "because"


async def test_a_reason_with_characters_that_sqs_refuses_is_made_printable(home: Parts) -> None:
    """Control characters and half surrogates of an exception's text don't keep the letter back; it is bounded."""
    reason = Rejection("no-way", "a\x00b\ud800c\ufffe" + "x" * 5000, "h", 1, 0, 0)
    letter = await buried(home, rejection=reason)
    assert letter.attributes["errorMessage"].startswith("a?b?c?xxx")
    assert len(letter.attributes["errorMessage"]) == 1000


async def test_without_a_dead_letter_queue_the_message_stays_and_somebody_is_told(home: Parts) -> None:
    """The queue is missing: nothing is deleted; once it is there the message goes to it."""
    home.server.missing_queues.add(DEAD)
    home.server.send(QUEUE, "poison")
    async with consuming(home.consumer(home.dispatcher(wishes(done)), visibility_timeout_s=2)):
        await home.server.wait_until(lambda: len(home.server.ledger.of("received", QUEUE)) >= 2)
        assert set(home.lost) == {DEAD, "sqs"}
        home.server.missing_queues.clear()
        await home.until_empty()
    assert home.server.bodies(DEAD) == ["poison"]


async def test_a_letter_that_sqs_does_not_take_leaves_the_message_where_it_is(home: Parts) -> None:
    """Unavailable is raised, so that the delivery is not deleted."""
    home.server.faults.partial_failure = 1.0
    home.server.faults.only = frozenset({"SendMessageBatch"})
    with pytest.raises(Unavailable):
        await buried(home)
