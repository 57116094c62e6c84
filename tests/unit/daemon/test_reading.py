"""Reading: from a delivery's text to a typed message, and what can be said of one that can't be read."""

import json
from collections.abc import Mapping
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.delivery import EVENTS, TIMERS, Identity
from daemon.reading import identify, read
from domain.errors import MessageError
from domain.wire import iso
from handlers.routes import Origin
from tests.parts import Delivered, Wish, done, wish, wishes
from tests.world import MORNING_MS

ROUTES = wishes(done)
EVENT = {
    "subscriptionId": 4,
    "sourceEvent": {"id": 5, "robotId": 7, "eventName": "IN_BED", "createdAt": iso(MORNING_MS), "new": "field"},
}


def test_a_command_is_its_envelope_and_its_data() -> None:
    """Identity, robot, typed data and call reference come from the body."""
    message = read(Delivered(wish("x", 7, id="m-1", callref="body"), attributes={"callRef": "attribute"}), ROUTES)
    assert message.identity == Identity("wish", "test", "m-1", 7, "body")
    assert message.command == Wish(robotId=7, text="x")


@pytest.mark.parametrize(
    ("attribute", "kept"), [("ref", "ref"), ("", None), ("x" * 129, None), ("caf\u00e9", None), ("a\nb", None)]
)
def test_a_call_reference_beside_the_body_counts_where_it_can_be_kept(attribute: str, kept: str | None) -> None:
    """One that the database could not hold is replaced by one of our own; it is no reason to refuse the message."""
    found = read(Delivered(wish("x", 7, id="m-1"), attributes={"callRef": attribute}), ROUTES).call_ref
    assert found == kept if kept else found is not None and UUID(found).version == 5
    assert identify(Delivered(attributes={"callRef": attribute})).call_ref == kept


@pytest.mark.parametrize(
    "body",
    [
        {"to": {"robotId": "7"}, "payload": {"id": 9, **EVENT}},
        {"payload": {"id": 9, **EVENT}},
        {"id": 9, **EVENT},
        {"Type": "Notification", "Message": json.dumps({"payload": {"id": 9, **EVENT}})},
    ],
    ids=["envelope", "envelope without addressee", "flat", "SNS"],
)
def test_every_variant_of_an_event_is_the_same_message(body: Mapping[str, object]) -> None:
    """Its identity is the outgoing event, its robot that of the source event; unknown fields are ignored."""
    message = read(Delivered(json.dumps(body), reads=EVENTS), ROUTES)
    call_ref = message.call_ref
    assert message.identity == Identity("megazord.event", "megazord-events", "outgoing:9", 7, call_ref)


def test_an_event_without_an_id_is_known_by_subscription_and_source_event() -> None:
    """The flat variant has no outgoing id."""
    assert read(Delivered(json.dumps(EVENT), reads=EVENTS), ROUTES).id == "subscription:4:event:5"


def test_a_timer_is_known_by_its_claim() -> None:
    """Two claims of one timer are two messages."""
    delivery = Delivered('{"text": "x"}', "wish:1", attributes={"type": "wish"}, reads=TIMERS, fence=3)
    message = read(delivery, wishes(done, Origin.TIMER))
    assert (message.id, message.command) == ("wish:1#3", Wish(text="x"))


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (Delivered(wish("x", 7, id="m-1")), Delivered(wish("y", 7, id="m-1"), receive_count=2), True),
        (Delivered(wish("x", 7, id="m-1")), Delivered(wish("x", 7, id="m-2")), False),
        (Delivered(json.dumps(EVENT), reads=EVENTS), Delivered(json.dumps({"payload": EVENT}), reads=EVENTS), True),
    ],
    ids=["a command again", "another command", "an event in two forms"],
)
def test_a_message_without_a_call_reference_gets_a_uuid_of_its_own(
    one: Delivered, other: Delivered, *, is_same: bool
) -> None:
    """The same at each delivery of one message, so that all that is done for it can be found together."""
    first, second = read(one, ROUTES).call_ref, read(other, ROUTES).call_ref
    assert first is not None
    assert str(UUID(first)) == first
    assert (first == second) is is_same


def test_a_source_without_a_reader_is_refused() -> None:
    """A queue that is read as something unknown is a mistake of the wiring, said in words."""
    with pytest.raises(MessageError, match="no reader for riddles"):
        read(Delivered(reads="riddles"), ROUTES)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
fields = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("id", "type", "source", "data", "callref", "specversion", "time"), anything)
)


@given(st.text() | fields.map(json.dumps) | anything.map(json.dumps))
def test_any_text_is_read_or_refused_with_a_reason_and_always_identified(body: str) -> None:
    """No text makes a reader raise anything but MessageError; what is said of it fits the journal's columns."""
    refused: list[str] = []
    for reads in ("commands", EVENTS):
        try:
            read(Delivered(body, reads=reads), ROUTES)
        except MessageError as error:
            refused.append(str(error))
    assert all(0 < len(reason) < 5000 for reason in refused)
    identity = identify(Delivered(body))
    assert identity.reply_to is None or isinstance(identity.reply_to, str)
    assert all(len(each) <= 128 for each in (identity.type, identity.source, identity.id))
    assert identity.call_ref is None or len(identity.call_ref) <= 128


def test_a_command_that_can_t_be_read_still_says_where_its_answer_goes() -> None:
    """The robot and the queue as they stand in its data, if they are of the right kind."""
    named = {"type": "t", "source": "s", "id": "1", "data": {"robotId": 7, "replyTo": "answers"}}
    assert identify(Delivered(json.dumps(named))) == Identity("t", "s", "1", 7, None, "answers")
    wrong = {"type": "t", "source": "s", "id": "1", "data": {"robotId": "7", "replyTo": ["answers"]}}
    assert identify(Delivered(json.dumps(wrong))) == Identity("t", "s", "1")
