"""What WAHA tells, read; and what an acknowledgement changes, whatever the order in which they come."""

import itertools
import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.campaign import RecipientState
from domain.errors import MessageError, RuleViolation
from domain.whatsapp_events import (
    Acknowledgement,
    InboundMessage,
    WhatsAppEvent,
    read_event,
    read_payload,
    rises,
    state_after,
)

ANN = "99900000001@c.us"
ACKS = [-1, 0, 1, 2, 3, 4]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


def event(payload: object, **more: object) -> WhatsAppEvent:
    fields = {"id": "evt_01ABC", "event": "message", "session": "default", "payload": payload, **more}
    return read_event(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "told", ["", None, 5, "evt_", "evt_with blank", "evt_" + "A" * 65, "other_01ABC", "evt_\u0660", [], "99900000001"]
)
def test_an_event_without_a_usable_id_is_known_by_its_body(told: object) -> None:
    """The same body is the same event, another body another one; what is no id of WAHA is not kept."""
    one, same, other = event({}, id=told), event({}, id=told), event({"a": 1}, id=told)
    assert re.fullmatch("sha256:[0-9a-f]{64}", one.id)
    assert (one.id == same.id, one.id == other.id) == (True, False)
    assert event({}).id == "evt_01ABC"


@pytest.mark.parametrize(
    "fields",
    [
        {"event": None},
        {"event": "x" * 129},
        {"session": ""},
        {"session": "with blank"},
        {"session": "x" * 129},
        {"session": 5},
        {"session": "\ud800"},
        {"payload": "text"},
        {"payload": None},
    ],
)
def test_what_is_no_envelope_is_refused_without_its_words(fields: dict[str, object]) -> None:
    """The path of what is wrong is named, its value is not."""
    with pytest.raises(MessageError, match=next(iter(fields))) as caught:
        event(**{"payload": {"from": ANN}, **fields})
    assert caught.value.kind == "invalid-event"
    assert "99900" not in str(caught.value)


@pytest.mark.parametrize(
    ("chat", "participant", "writer"),
    [
        (ANN, None, ANN),
        ("99900000001@s.whatsapp.net", None, ANN),
        ("99900000001:7@s.whatsapp.net", None, ANN),
        ("99900777@lid", None, "99900777@lid"),
        ("9990000000000@g.us", ANN, ANN),
        ("9990000000000@g.us", "99900777@lid", "99900777@lid"),
        ("9990000000000@g.us", None, None),
        ("9990000000000@g.us", 5, None),
        ("9990000000000@g.us", "9990000000000@g.us", None),
        ("status@broadcast", ANN, None),
        ("99900000001@newsletter", None, None),
        ("99900000001", None, None),
        ("\u0669\u0669\u0669\u0669\u0669\u0669\u0669@c.us", None, None),
        (ANN + "\n", None, None),
        ("", None, None),
    ],
)
def test_the_writer_is_a_person(chat: str, participant: object, writer: str | None) -> None:
    """In a group the participant, elsewhere the chat; nobody in channels and broadcasts."""
    said = read_payload(InboundMessage, event({"from": chat, "participant": participant, "body": "stop"}))
    assert said.writer == writer


@pytest.mark.parametrize(
    ("told", "found"),
    [("true_99900000001@c.us_AA", "true_99900000001@c.us_AA"), ({"_serialized": "a"}, "a"), ({"id": "b"}, "b")],
)
def test_an_id_may_be_an_object(told: object, found: str) -> None:
    """As some versions of WAHA tell it."""
    assert read_payload(Acknowledgement, event({"id": told, "ack": 2})).id == found


@pytest.mark.parametrize(
    "payload",
    [{}, {"id": "a"}, {"ack": 1}, {"id": "", "ack": 1}, {"id": {}, "ack": 1}, {"id": 5, "ack": 1}]
    + [{"id": "a", "ack": ack} for ack in (None, True, 1.5, "1", -2, 100, [1])],
)
def test_an_unfit_acknowledgement_is_refused(payload: dict[str, object]) -> None:
    """An id and a whole number from -1 on are needed."""
    with pytest.raises(RuleViolation, match="payload of message") as caught:
        read_payload(Acknowledgement, event(payload))
    assert caught.value.kind == "invalid-event"


@given(st.permutations([None, *ACKS]).map(lambda acks: [ack for ack in acks if ack is not None]), st.integers(1, 6))
def test_the_highest_acknowledgement_does_not_depend_on_their_order(acks: list[int], count: int) -> None:
    """Any order of any of them, each as often as it likes, ends with the same one."""

    def last(heard: list[int]) -> int | None:
        stored: int | None = None
        for ack in heard:
            stored = ack if rises(stored, ack) else stored
        return stored

    some = acks[:count]
    assert last(some) == last(sorted(some)) == last(some + some[::-1])
    assert last(some) == max(some, key=lambda ack: 1.5 if ack == -1 else ack)


def test_what_an_acknowledgement_makes_of_a_recipient() -> None:
    """An error makes SENT FAILED; a server or a phone that has the message makes SENT of doubt, failure and retry."""
    changes = {
        (ack, state): after
        for ack, state in itertools.product(ACKS, RecipientState)
        if (after := state_after(ack, state)) is not state
    }
    reached = (RecipientState.UNKNOWN, RecipientState.FAILED, RecipientState.PENDING)
    expected = {(ack, state): RecipientState.SENT for ack in (1, 2, 3, 4) for state in reached}
    assert changes == {**expected, (-1, RecipientState.SENT): RecipientState.FAILED}


def refused_as(read: Callable[[], object]) -> str | None:
    """The kind of the refusal; None for what was read."""
    try:
        read()
    except (MessageError, RuleViolation) as refusal:
        return refusal.kind
    return None


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_an_event_or_a_refusal(body: bytes) -> None:
    """Nothing else comes out of reading, whatever was signed."""
    assert refused_as(lambda: read_event(body)) in (None, "invalid-event")


FIELDS = st.sampled_from(["id", "ack", "from", "body", "fromMe", "participant"])


@given(st.sampled_from([Acknowledgement, InboundMessage]), st.dictionaries(FIELDS, JSON))
def test_any_payload_is_read_or_refused(model: type[Acknowledgement], payload: dict[str, object]) -> None:
    """Whatever stands in its fields."""
    told = WhatsAppEvent(id="evt_1", event="x", session="default", payload=payload)
    assert refused_as(lambda: read_payload(model, told)) in (None, "invalid-event")
