"""What cannot be a message ends in the dead-letter queue with a reason, whole, and delays nothing that is good.

The two tables below are the documentation: what is sent, and what a person reads in `errorMessage` there.
"""

import base64
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from domain.messages import reply_id
from domain.wire import MAX_MESSAGE_BYTES, iso
from localstack.sqs import StoredMessage
from localstack.sqs_sender import SqsSender
from tests.mariadb import MariaDb
from tests.world import MORNING_MS, World, create_command, world

# A message of 1 MiB is sent as one piece, and aiohttp warns of that.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

ROBOT, NEIGHBOUR, ASKING = 61001, 61002, 61999
STEP, FOREIGN_STEP = 88120, 88130
GONE = object()
PATIENT = {"visibility_timeout_s": 60}
A_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass(frozen=True, slots=True)
class Bad:
    """`says` stands in errorMessage. `told`: ASKING's robot queue gets an error result, because it is named."""

    name: str
    body: str
    kind: str
    says: str
    told: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)


def changed(fields: Mapping[str, object], changes: Mapping[str, object]) -> str:
    return json.dumps({name: value for name, value in {**fields, **changes}.items() if value is not GONE})


def sent(
    changes: Mapping[str, object], data: Mapping[str, object] | None = None, kind: str = "status-check.get"
) -> str:
    """A good command with `changes` in its envelope."""
    data = {"robotId": ASKING, "statusCheckId": 1} if data is None else data
    envelope = {
        "specversion": "1.0",
        "id": "c-1",
        "source": "test",
        "type": kind,
        "time": iso(MORNING_MS),
        "data": data,
    }
    return changed(envelope, changes)


def created(changes: Mapping[str, object], robot_id: object = ASKING) -> str:
    """A good create command with `changes` in its data."""
    data = {
        "robotId": robot_id,
        "stepId": STEP,
        "scheduledId": 1,
        "scriptVersionId": 2,
        "plannedAt": iso(MORNING_MS),
    }
    return sent({}, json.loads(changed(data, changes)), "status-check.create")


GOOD_TEXT = sent({"id": "unheard"})
LONELY = "\\ud800"
NESTED = "[" * 10_000 + "]" * 10_000
DIGITS = "9" * 5000

NOT_JSON = [
    Bad("plain text", "hello", "not-json", "not JSON: Expecting value at line 1, column 1"),
    Bad("blank", " ", "not-json", "not JSON: Expecting value"),
    Bad("cut short", GOOD_TEXT[:-20], "not-json", "not JSON: "),
    Bad("cut after a comma", '{"specversion": "1.0",', "not-json", "Expecting property name enclosed in double quotes"),
    Bad("single quotes", "{'id': 1}", "not-json", "Expecting property name enclosed in double quotes"),
    Bad("something behind it", GOOD_TEXT + "}", "not-json", "Extra data"),
    Bad("two commands", GOOD_TEXT + GOOD_TEXT, "not-json", "Extra data"),
    Bad("byte order mark", "\ufeff" + GOOD_TEXT, "not-json", "Unexpected UTF-8 BOM"),
    Bad("base64", base64.b64encode(GOOD_TEXT.encode()).decode(), "not-json", "Expecting value"),
    Bad("XML", "<command/>", "not-json", "Expecting value"),
    Bad("form", "robotId=61999&statusCheckId=1", "not-json", "Expecting value"),
    Bad("raw tab inside a string", '{"id": "a\tb"}', "not-json", "Invalid control character"),
    Bad("raw line break inside a string", '{"id": "a\r\nb"}', "not-json", "Invalid control character"),
    Bad("NaN", '{"id": NaN}', "not-json", "NaN is not a JSON number"),
    Bad("Infinity", '{"id": Infinity}', "not-json", "Infinity is not a JSON number"),
    Bad("-Infinity", '{"id": -Infinity}', "not-json", "-Infinity is not a JSON number"),
    Bad("5000 digits", f'{{"id": {DIGITS}}}', "not-json", "a number has too many digits to be read"),
    Bad("5000 negative digits", f'{{"id": -{DIGITS}}}', "not-json", "a number has too many digits"),
    Bad("nested 10,000 deep", f'{{"data": {NESTED}}}', "not-json", "nested too deeply to be read"),
    Bad("objects 10,000 deep", '{"a":' * 10_000 + "1" + "}" * 10_000, "not-json", "nested too deeply to be read"),
    Bad("unclosed 10,000 deep", "[" * 10_000, "not-json", "nested too deeply to be read"),
    Bad("half a surrogate pair in a value", f'{{"id": "{LONELY}"}}', "not-text", "half of a surrogate pair"),
    Bad("half a surrogate pair in a key", f'{{"{LONELY}": 1}}', "not-text", "half of a surrogate pair"),
    Bad("the wrong half", '{"id": "\\udc00"}', "not-text", "half of a surrogate pair"),
    Bad("halves in the wrong order", '{"id": "\\udc00\\ud800"}', "not-text", "half of a surrogate pair"),
    Bad("empty list", "[]", "not-an-object", "expected a JSON object, found list"),
    Bad("list of commands", f"[{GOOD_TEXT}]", "not-an-object", "expected a JSON object, found list"),
    Bad("string", json.dumps(GOOD_TEXT), "not-an-object", "expected a JSON object, found str"),
    Bad("number", "7", "not-an-object", "expected a JSON object, found int"),
    Bad("null", "null", "not-an-object", "expected a JSON object, found NoneType"),
    Bad("true", "true", "not-an-object", "expected a JSON object, found bool"),
    Bad("key twice", '{"id": "a", "id": "b"}', "duplicate-key", "the key 'id' stands twice in one object"),
    Bad(
        "key twice further in",
        '{"data": {"robotId": 1, "robotId": 2}}',
        "duplicate-key",
        "the key 'robotId' stands twice in one object",
    ),
    Bad(
        "last of 60,000 keys twice",
        "{" + ",".join(f'"k{n}":0' for n in range(60_000)) + ',"k59999":1}',
        "duplicate-key",
        "the key 'k59999' stands twice",
    ),
]

NOT_A_TOKEN = [
    ("missing", GONE, "Field required"),
    ("null", None, "valid string"),
    ("number", 5, "valid string"),
    ("list", ["a"], "valid string"),
    ("empty", "", "should match pattern"),
    ("blank inside", "a b", "should match pattern"),
    ("not ASCII", "caf\u00e9", "should match pattern"),
    ("NUL", "a\u0000b", "should match pattern"),
    ("129 characters", "x" * 129, "should match pattern"),
]

NOT_A_TIME = [
    ("missing", GONE, "Field required"),
    ("null", None, "expected an ISO 8601 time as text"),
    ("epoch seconds", 1_764_060_000, "expected an ISO 8601 time as text"),
    ("true", True, "expected an ISO 8601 time as text"),
    ("no time", "tomorrow", "expected an ISO 8601 time, such as 2025-11-25T08:40:00Z"),
    ("no zone", "2025-11-25T08:40:00", "a time needs its zone"),
    ("date alone", "2025-11-25", "a time needs its zone"),
    ("30 February", "2025-02-30T08:40:00Z", "expected an ISO 8601 time"),
    ("a NUL in it", "2025-11-25T08:40:00\u0000Z", "expected an ISO 8601 time"),
    ("the year 1999", "1999-12-31T23:59:59Z", "between the years 2000 and 2100"),
    ("the year 2100", "2100-01-01T00:00:00Z", "between the years 2000 and 2100"),
    ("the year 9999", "9999-12-31T23:59:59-23:59", "between the years 2000 and 2100"),
    ("the year 1", "0001-01-01T00:00:00+23:59", "between the years 2000 and 2100"),
]

NOT_AN_ID = [
    ("missing", GONE, "Field required"),
    ("null", None, "valid integer"),
    ("true", True, "valid integer"),
    ("text", "7", "valid integer"),
    ("1.5", 1.5, "valid integer"),
    ("1.0", 1.0, "valid integer"),
    ("1e400", 10**400, "less than or equal to"),
    ("0", 0, "greater than or equal to 1"),
    ("-1", -1, "greater than or equal to 1"),
    ("2**63", 2**63, "less than or equal to"),
    ("list", [7], "valid integer"),
    ("object", {}, "valid integer"),
]


def each(
    reference: str, kind: str, wrong: Sequence[tuple[str, object, str]], make: object, *, told: bool = True
) -> list[Bad]:
    """One case for each wrong value of one field; the reason names the field."""
    assert callable(make)
    name = reference.rsplit(".", 1)[-1]
    return [
        Bad(f"{reference} {what}", make({name: value}), kind, f"{reference}: " if "match" in says else says, told)
        for what, value, says in wrong
    ]


def got(changes: Mapping[str, object]) -> str:
    return sent({}, json.loads(changed({"robotId": ASKING, "statusCheckId": 1}, changes)))


ENVELOPES = [
    Bad("empty object", "{}", "invalid-envelope", "specversion: Field required; id: Field required; source: Field"),
    *each("id", "invalid-envelope", NOT_A_TOKEN, sent),
    *each("source", "invalid-envelope", NOT_A_TOKEN, sent),
    *each("type", "invalid-envelope", NOT_A_TOKEN, sent),
    *each("time", "invalid-envelope", NOT_A_TIME, sent),
    Bad("no specversion", sent({"specversion": GONE}), "invalid-envelope", "specversion: Field required", told=True),
    Bad(
        "specversion 0.3",
        sent({"specversion": "0.3"}),
        "invalid-envelope",
        "specversion: Input should be '1.0'",
        told=True,
    ),
    Bad(
        "specversion as number",
        sent({"specversion": 1.0}),
        "invalid-envelope",
        "specversion: Input should be",
        told=True,
    ),
    Bad("no data", sent({"data": GONE}), "invalid-envelope", "data: Field required"),
    Bad("data null", sent({"data": None}), "invalid-envelope", "data: Input should be a valid dictionary"),
    Bad("data list", sent({"data": []}), "invalid-envelope", "data: Input should be a valid dictionary"),
    Bad("data text", sent({"data": "{}"}), "invalid-envelope", "data: Input should be a valid dictionary"),
    Bad(
        "unknown field", sent({"robotId": 5}), "invalid-envelope", "robotId: Extra inputs are not permitted", told=True
    ),
    Bad("callref not ASCII", sent({"callref": "\u2603"}), "invalid-envelope", "callref: ", told=True),
    Bad("callref too long", sent({"callref": "x" * 129}), "invalid-envelope", "callref: ", told=True),
    Bad(
        "callref number", sent({"callref": 7}), "invalid-envelope", "callref: Input should be a valid string", told=True
    ),
    Bad(
        "subject number", sent({"subject": 7}), "invalid-envelope", "subject: Input should be a valid string", told=True
    ),
    Bad("not JSON data", sent({"datacontenttype": "text/xml"}), "invalid-envelope", "datacontenttype: ", told=True),
    Bad(
        "in an SNS envelope",
        json.dumps({"Type": "Notification", "Message": GOOD_TEXT}),
        "invalid-envelope",
        "Message: Extra inputs are not permitted",
    ),
    Bad(
        "20 unknown fields",
        sent({f"field{n}": n for n in range(20)}),
        "invalid-envelope",
        "field9: Extra inputs are not permitted; and 10 more",
        told=True,
    ),
]

TYPES = [
    Bad(
        "unknown type",
        sent({}, kind="status-check.make"),
        "unknown-type",
        "unknown type 'status-check.make'; known: ",
        told=True,
    ),
    Bad(
        "unknown version",
        sent({}, kind="status-check.get.v9"),
        "unknown-type",
        "'status-check.get.v9'; known: ",
        told=True,
    ),
    Bad(
        "other case",
        sent({}, kind="Status-Check.Get"),
        "unknown-type",
        "status-check.cancel, status-check.create",
        told=True,
    ),
    Bad(
        "a timer's type",
        sent({}, kind="status-check.end"),
        "unknown-type",
        "unknown type 'status-check.end'",
        told=True,
    ),
    Bad("an event's type", sent({}, kind="megazord.event"), "unknown-type", "unknown type 'megazord.event'", told=True),
]

DATA = [
    *each(
        "data: robotId",
        "invalid-data",
        NOT_AN_ID,
        lambda change: created({"robotId": next(iter(change.values()))}),
        told=False,
    ),
    *each("stepId", "invalid-data", NOT_AN_ID, created),
    *each("scheduledId", "invalid-data", NOT_AN_ID, created),
    *each("scriptVersionId", "invalid-data", NOT_AN_ID, created),
    *each("plannedAt", "invalid-data", NOT_A_TIME, created),
    *each("statusCheckId", "invalid-data", NOT_AN_ID, got),
    Bad("empty data", sent({}, {}), "invalid-data", "data: robotId: Field required; statusCheckId: Field required"),
    Bad(
        "unknown data field",
        got({"force": True}),
        "invalid-data",
        "data: force: Extra inputs are not permitted",
        told=True,
    ),
    Bad(
        "robot id of 33 bits",
        created({}, 2**32),
        "invalid-data",
        "robotId: Input should be less than or equal to 4294967295",
    ),
    Bad(
        "snake case",
        sent({}, {"robot_id": ASKING, "status_check_id": 1}),
        "invalid-data",
        "data: robotId: Field required",
    ),
]

RULES = [
    Bad(
        "nobody's check",
        got({"statusCheckId": 2**63 - 1}),
        "no-such-check",
        f"robot {ASKING} has no status check",
        told=True,
    ),
    Bad("another robot's check", got({}), "no-such-check", f"robot {ASKING} has no status check 1", told=True),
    Bad(
        "cancel of another robot's check",
        sent({}, {"robotId": ASKING, "statusCheckId": 1}, "status-check.cancel"),
        "no-such-check",
        f"robot {ASKING} has no status check 1",
        told=True,
    ),
    Bad("another robot's step", created({"stepId": FOREIGN_STEP}), "upstream-not-found", "404", told=True),
    Bad(
        "planned in 2099",
        created({"plannedAt": "2099-12-31T23:59:59Z"}),
        "far-future",
        "more than a year ahead",
        told=True,
    ),
]

MIB = MAX_MESSAGE_BYTES
LARGE = [
    Bad("1 MiB of x", "x" * MIB, "not-json", "Expecting value"),
    Bad("1 MiB of three-byte characters", "\u4e16" * (MIB // 3), "not-json", "Expecting value"),
    Bad("1 MiB in one unknown field", got({"\u4e16" * 170_000: 1}), "invalid-data", "Extra inputs", told=True),
    Bad(
        "1 MiB of unknown fields", got({f"k{n}": 0 for n in range(80_000)}), "invalid-data", "and 79990 more", told=True
    ),
    Bad("1 MiB of brackets", "[" * MIB, "not-json", "nested too deeply"),
    Bad("1 MiB of digits", f'{{"id": {"7" * (MIB - 8)}}}', "not-json", "too many digits"),
    Bad(
        "1 MiB in an attribute",
        '{"id": "heavy"}',
        "invalid-envelope",
        "specversion: Field required",
        attributes={"note": "y" * (MIB - len('{"id": "heavy"}noteString'))},
    ),
    Bad(
        "ten attributes",
        '{"id": "many"}',
        "invalid-envelope",
        "specversion: Field required",
        attributes={f"note{n}": str(n) for n in range(10)},
    ),
    Bad(
        "an endless callRef attribute",
        '{"id": "long"}',
        "invalid-envelope",
        "specversion: Field required",
        attributes={"callRef": "z" * 5000},
    ),
]

BAD_COMMANDS = [*NOT_JSON, *ENVELOPES, *TYPES, *DATA, *RULES, *LARGE]


def event(changes: Mapping[str, object], source: Mapping[str, object] | None = None, **outer: object) -> str:
    """A good event for the subscription of nobody, with changes in the outgoing event and in its source event."""
    incoming = {"id": 5, "robotId": ASKING, "eventName": "IN_BED", "level": 1, "createdAt": iso(MORNING_MS)}
    inner = json.loads(changed(incoming, source or {}))
    payload = json.loads(changed({"id": 9, "subscriptionId": 7, "sourceEvent": inner}, changes))
    return changed({"to": {"robotId": str(ASKING)}, "payload": payload}, outer)


def from_source(changes: Mapping[str, object]) -> str:
    return event({}, changes)


def notification(message: object) -> str:
    return json.dumps({"Type": "Notification", "MessageId": "m", "Message": message})


BAD_EVENTS = [
    *NOT_JSON,
    Bad("empty object", "{}", "invalid-event", "subscriptionId: Field required; sourceEvent: Field required"),
    *each("subscriptionId", "invalid-event", NOT_AN_ID, event),
    *each("id", "invalid-event", NOT_AN_ID[2:], event),
    *each("sourceEvent.id", "invalid-event", NOT_AN_ID, from_source),
    *each("sourceEvent.robotId", "invalid-event", NOT_AN_ID, from_source),
    *each("sourceEvent.createdAt", "invalid-event", NOT_A_TIME, from_source),
    Bad("no source event", event({"sourceEvent": GONE}), "invalid-event", "sourceEvent: Field required"),
    Bad(
        "source event null", event({"sourceEvent": None}), "invalid-event", "sourceEvent: Input should be a valid dict"
    ),
    Bad("source event list", event({"sourceEvent": []}), "invalid-event", "sourceEvent: Input should be a valid dict"),
    Bad("no event name", from_source({"eventName": GONE}), "invalid-event", "sourceEvent.eventName: Field required"),
    Bad(
        "empty event name", from_source({"eventName": ""}), "invalid-event", "eventName: String should have at least 1"
    ),
    Bad("event name of 257", from_source({"eventName": "E" * 257}), "invalid-event", "at most 256 characters"),
    Bad(
        "event name number", from_source({"eventName": 1}), "invalid-event", "eventName: Input should be a valid string"
    ),
    Bad("level 256", from_source({"level": 256}), "invalid-event", "level: Input should be less than or equal to 255"),
    Bad("level -1", from_source({"level": -1}), "invalid-event", "level: Input should be greater than or equal to 0"),
    Bad("level text", from_source({"level": "1"}), "invalid-event", "level: Input should be a valid integer"),
    Bad(
        "reference number", from_source({"referenceId": 5}), "invalid-event", "referenceId: Input should be a valid str"
    ),
    Bad("payload null", event({}, payload=None), "invalid-event", "message: Input should be a valid dictionary"),
    Bad("payload list", event({}, payload=[1]), "invalid-event", "message: Input should be a valid dictionary"),
    Bad("payload text", event({}, payload="{}"), "invalid-event", "message: Input should be a valid dictionary"),
    Bad(
        "to another robot",
        event({}, to={"robotId": str(ROBOT)}),
        "foreign-robot",
        f"addressed to robot {ROBOT}, but the event is of robot {ASKING}",
    ),
    Bad("to no robot", event({}, to={"robotId": None}), "foreign-robot", "addressed to robot None"),
    Bad("to a list", event({}, to={"robotId": [[[]]]}), "foreign-robot", "addressed to robot [[[]]]"),
    Bad(
        "created tomorrow",
        from_source({"createdAt": iso(MORNING_MS + 90_000_000)}),
        "far-future",
        "more than a day ahead",
    ),
    Bad("a command", GOOD_TEXT, "invalid-event", "subscriptionId: Field required"),
    Bad("SNS with text", notification("hello"), "not-json", "inside the SNS notification: not JSON"),
    Bad("SNS with nothing", notification(""), "not-json", "inside the SNS notification: not JSON"),
    Bad("SNS with a list", notification("[1]"), "not-an-object", "inside the SNS notification: expected a JSON object"),
    Bad("SNS with an object", notification({}), "invalid-event", "subscriptionId: Field required"),
    Bad(
        "SNS with half a text", notification('{"id": "\\ud800"}'), "not-text", "inside the SNS notification: holds half"
    ),
    Bad("SNS with a bad event", notification(event({"subscriptionId": 0})), "invalid-event", "subscriptionId: "),
    Bad("SNS in SNS", notification(notification(event({}))), "invalid-event", "subscriptionId: Field required"),
    Bad("1 MiB of an event name", from_source({"eventName": "E" * (MIB - 300)}), "invalid-event", "at most 256"),
    Bad(
        "an endless callRef attribute",
        event({"subscriptionId": -7}),
        "invalid-event",
        "subscriptionId: ",
        attributes={"callRef": "z" * 5000},
    ),
]


@pytest.fixture(params=["sqlite", "mariadb"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "sqlite":
        async with world(tmp_path / "robotd.db", consumer=PATIENT) as opened:
            yield opened
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    async with world(address, consumer=PATIENT) as opened:
        yield opened
    server.drop(address)


async def start_checks(home: World) -> None:
    """Check 1 for ROBOT and check 2 for NEIGHBOUR, which both listen until their windows end."""
    for number, robot_id in enumerate((ROBOT, NEIGHBOUR), 1):
        home.managers.add_step(robot_id, STEP, "OUT_OF_BED_MORNING", future_interval_s=7200)
        home.sqs.send(home.settings.queues.commands, create_command(robot_id, STEP, number, MORNING_MS))
        await home.quiet()
    home.managers.add_step(ROBOT, FOREIGN_STEP, "OUT_OF_BED_MORNING")


@pytest.fixture
async def sender(home: World) -> AsyncIterator[SqsSender]:
    async with SqsSender(home.sqs.url) as opened:
        yield opened


async def letters(home: World, queue: str) -> dict[str, list[StoredMessage]]:
    """The dead letters by the body that was sent, wherever it is kept."""
    rows = await home.database.fetch("SELECT id, body FROM parked_body")
    parked = {str(key): str(body) for key, body in rows}
    found: dict[str, list[StoredMessage]] = {}
    for letter in home.sqs.messages(f"{queue}-dlq"):
        body = parked[letter.attributes["bodyKeptAs"]] if "bodyKeptAs" in letter.attributes else letter.body
        found.setdefault(body, []).append(letter)
    return found


def complaints(bad: Bad, found: Mapping[str, list[StoredMessage]], queue: str) -> list[str]:
    """Everything about the dead letter of one case that isn't as the table says."""
    kept = found.get(bad.body, [])
    if len(kept) != 1:
        return [f"{bad.name}: {len(kept)} dead letters"]
    told = kept[0].attributes
    shown = f"{bad.name}: {told.get('errorKind')}: {told.get('errorMessage')}"
    is_as_said = {
        "kind": told.get("errorKind") == bad.kind,
        "reason": bad.says in told.get("errorMessage", ""),
        "attempts": told.get("attempts") == "1",
        "handler": bool(told.get("handler")),
        "times": all(A_TIME.fullmatch(told.get(name, "")) for name in ("firstAttemptAt", "lastAttemptAt")),
        "source": told.get("sourceQueue") == queue,
    }
    return [f"{shown} (wrong {what})" for what, is_right in is_as_said.items() if not is_right]


def interleaved() -> tuple[list[tuple[str, Mapping[str, str]]], dict[int, list[str]]]:
    """Every bad command, a good one behind every second; and the ids of the answers that each robot should get."""
    messages: list[tuple[str, Mapping[str, str]]] = []
    awaited: dict[int, list[str]] = {ROBOT: [], NEIGHBOUR: []}
    for number, bad in enumerate(BAD_COMMANDS):
        messages.append((bad.body, bad.attributes))
        if number % 2 == 0:
            robot_id, check_id = ((ROBOT, 1), (NEIGHBOUR, 2))[number // 2 % 2]
            messages.append((sent({"id": f"good-{number}"}, {"robotId": robot_id, "statusCheckId": check_id}), {}))
            awaited[robot_id].append(reply_id("test", f"good-{number}"))
    return messages, awaited


async def test_bad_commands_are_dead_lettered_and_good_ones_between_them_answered(
    home: World, sender: SqsSender
) -> None:
    """Every case lies there once, whole and with its reason; robots get their answers in order; nothing else stays."""
    queue = home.settings.queues.commands
    messages, awaited = interleaved()
    async with home.running():
        await start_checks(home)
        for body, attributes in messages:
            assert await sender.send(queue, body, attributes)
        await home.quiet()
    found = await letters(home, queue)
    wrong = [complaint for bad in BAD_COMMANDS for complaint in complaints(bad, found, queue)]
    assert not wrong, "\n".join(wrong)
    assert sum(map(len, found.values())) == len(BAD_COMMANDS)
    for robot_id, ids in awaited.items():
        assert [answer["id"] for answer in home.results(robot_id) if answer["type"] == "status-check.current"] == ids
    errors = home.results(ASKING)
    assert len(errors) == sum(bad.told for bad in BAD_COMMANDS)
    assert {error["type"] for error in errors} == {"error"}
    assert all(error["payload"]["error"] and error["payload"]["kind"] for error in errors)
    # The two checks still listen: their subscriptions and their timers are no leftovers of a bad message.
    assert set(await home.leftovers()) == {f"{queue}-dlq", "parked_body", "subscriptions", "timer"}
    assert len(home.megazord.active_subscriptions()) == 2


async def test_bad_events_are_dead_lettered_and_good_ones_between_them_count(home: World, sender: SqsSender) -> None:
    """Every case lies there once with its reason, and the check saw each good event, in order."""
    queue, good = home.settings.queues.events, 0
    async with home.running():
        await start_checks(home)
        for number, bad in enumerate(BAD_EVENTS):
            assert await sender.send(queue, bad.body, bad.attributes)
            if number % 4 == 0:
                good += 1
                home.clock.advance(1000)
                await home.megazord.post_event(ROBOT, ("OUT_OF_BED", "IN_BED")[good % 2])
        await home.quiet()
    found = await letters(home, queue)
    wrong = [complaint for bad in BAD_EVENTS for complaint in complaints(bad, found, queue)]
    assert not wrong, "\n".join(wrong)
    assert sum(map(len, found.values())) == len(BAD_EVENTS)
    changes = [answer["payload"] for answer in home.results(ROBOT)][1:]
    assert [len(change["history"]) for change in changes] == list(range(2, good + 1))
    assert [change["result"] for change in changes] == [("PASS", "PENDING")[n % 2] for n in range(good - 1)]
    assert home.results(ASKING) == []


async def test_the_error_result_of_a_refused_command_names_it_and_carries_its_call_ref(home: World) -> None:
    """The robot reads which command was refused and why, under the id of an answer, and the sender's reference."""
    body = sent({"id": "wish-1", "callref": "ref-7"}, {"robotId": ASKING, "statusCheckId": "1"})
    async with home.running():
        home.sqs.send(home.settings.queues.commands, body)
        await home.quiet()
    (error,) = home.results(ASKING)
    assert error["id"] == reply_id("test", "wish-1")
    assert error["callRef"] == "ref-7"
    assert error["payload"] == {
        "phase": "FAILED",
        "error": "data: statusCheckId: Input should be a valid integer",
        "kind": "invalid-data",
        "commandType": "status-check.get",
        "commandId": "wish-1",
    }
