import asyncio
import io
import json
import logging
import os
import random
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from daemon.log import LogEvent, UnlistedEventError, configure, message_context
from daemon.log_mask import Mask, masked_phone
from daemon.log_writer import LogWriter

Line = dict[str, object]
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def lines(out: io.StringIO) -> list[Line]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def fail(error: Exception) -> None:
    raise error


def phone_of(seed: int) -> str:
    return "".join(random.Random(seed).choices("23456789", k=11))


def test_a_line_is_one_json_object_with_time_level_and_name_first(out: io.StringIO) -> None:
    """A line has its time in UTC, its level and its event before the fields, which keep their types."""
    configure("json", "info", out, is_strict=True)
    structlog.get_logger().info(LogEvent.MESSAGE_HANDLED, duration_ms=12, ok=True, ratio=0.5, note=None)
    (line,) = lines(out)
    assert list(line) == ["timestamp", "level", "event", "duration_ms", "ok", "ratio", "note"]
    assert list(line.values())[1:] == ["info", "message.handled", 12, True, 0.5, None]
    assert datetime.fromisoformat(str(line["timestamp"])).tzinfo == UTC


def test_a_stream_that_is_no_terminal_gets_json(out: io.StringIO) -> None:
    """The format auto chooses JSON for a pipe and the console form for a terminal."""
    configure("auto", "info", out, is_strict=True)
    structlog.get_logger().info(LogEvent.DAEMON_READY)
    assert lines(out)[0]["event"] == "daemon.ready"
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]  # a terminal without a terminal
    configure("auto", "info", terminal, is_strict=True)
    structlog.get_logger().info(LogEvent.DAEMON_READY)
    assert "daemon.ready" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_a_level_that_is_filtered_costs_no_work(out: io.StringIO) -> None:
    """Below the level nothing is rendered, not even looked at."""
    configure("json", "info", out, is_strict=True)

    class Watched:
        def __str__(self) -> str:
            raise AssertionError("was looked at")

    structlog.get_logger().debug("not.in.the.list", value=Watched())
    assert out.getvalue() == ""


def test_the_context_of_a_message_is_on_every_line_inside_only(out: io.StringIO) -> None:
    """Context nests, is restored on leaving, leaves None out, and does not leak into a task beside."""
    configure("json", "info", out, is_strict=True)
    log = structlog.get_logger()

    async def handle(number: int, turn: asyncio.Barrier) -> None:
        with message_context(message_id=f"m{number}", queue="q", robot_id=None):
            await turn.wait()
            with message_context(type="status-check.get", attempt=number):
                log.info(LogEvent.MESSAGE_RECEIVED, number=number)
            await turn.wait()
            log.info(LogEvent.MESSAGE_HANDLED, number=number)

    async def both() -> None:
        turn = asyncio.Barrier(2)
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(handle(1, turn))
            group.create_task(handle(2, turn))

    asyncio.run(both())
    log.info(LogEvent.DAEMON_STOPPED)
    read = lines(out)
    assert len(read) == 5
    for line in read[:4]:
        assert line["message_id"] == f"m{line['number']}"
        assert "robot_id" not in line
        assert line.get("attempt") == (line["number"] if line["event"] == "message.received" else None)
    assert set(read[4]) == {"timestamp", "level", "event"}


def test_an_unlisted_event_is_refused_in_tests_and_tagged_otherwise(out: io.StringIO) -> None:
    """A name outside the list is an error under test; in production its line is kept, marked and masked."""
    configure("json", "info", out, is_strict=True)
    with pytest.raises(UnlistedEventError):
        structlog.get_logger().info("something happened")
    configure("json", "info", out)
    structlog.get_logger().info(f"called {phone_of(1)}")
    (line,) = lines(out)
    assert line["event"] == "log.unlisted"
    assert str(line["message"]).startswith("called …")


def test_event_names_are_a_noun_and_a_verb() -> None:
    """Names are searched for: lower case, one dot, none twice."""
    for event in LogEvent:
        noun, verb = event.value.split(".")
        assert noun.isalpha()
        assert verb.replace("_", "").isalpha()
        assert event.value.islower()


def test_the_libraries_go_through_the_same_chain(out: io.StringIO) -> None:
    """A library's warning is masked, has the context and a fixed name; its chatter is not written at all."""
    configure("json", "debug", out, is_strict=True)
    with message_context(message_id="m1"):
        logging.getLogger("aiobotocore.endpoint").warning("sending to %s failed", phone_of(2))
        logging.getLogger("botocore.auth").debug("header: signed")
    try:
        fail(OSError(phone_of(3)))
    except OSError:
        logging.getLogger("asyncio").exception("task failed")
    first, second = lines(out)
    assert (first["event"], first["logger"], first["message_id"]) == ("library.logged", "aiobotocore.endpoint", "m1")
    assert first["message"] == f"sending to …{phone_of(2)[-2:]} failed"
    assert (second["level"], second["message"]) == ("error", "task failed")
    assert phone_of(3) not in out.getvalue()
    assert "OSError" in str(second["exception"])


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_hides_numbers_secrets_and_local_variables(form: str, out: io.StringIO) -> None:
    """What an exception quotes is masked; what its frames hold is not written in the first place."""
    word, known = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
    configure("json" if form == "json" else "console", "info", out, secrets=[known], is_strict=True)
    local = secrets.token_urlsafe(12)
    try:
        fail(ValueError(f"+{phone_of(4)} at mysql://me:{word}@db and password={word} and {known}"))
    except ValueError:
        structlog.get_logger().exception(LogEvent.MESSAGE_FAILED)
    assert "ValueError" in out.getvalue()
    for hidden in (phone_of(4), word, known, local):
        assert hidden not in out.getvalue()


def test_masking_goes_by_key_and_keeps_what_identifies() -> None:
    """Secrets and bodies vanish, numbers keep their ends, ids and counters stay."""
    number = phone_of(5)
    masked = Mask()(
        None,
        "info",
        {
            "phoneNumber": f"+{number}",
            "chat_id": f"{number}@c.us",
            "X-Api-Key": "x",
            "receipt_handle": "x",
            "to": "x",
            "body": {"a": "x"},
            "fencing_token": 7,
            "message_id": f"outgoing:{number}",
            "robot_id": 7,
            "password": None,
        },
    )
    assert masked == {
        "phoneNumber": f"+{number[:2]}…{number[-2:]}",
        "chat_id": f"…{number[-2:]}",
        "X-Api-Key": "***",
        "receipt_handle": "***",
        "to": "***",
        "body": "***",
        "fencing_token": 7,
        "message_id": f"outgoing:{number}",
        "robot_id": 7,
        "password": None,
    }


def test_values_of_other_types_are_written_without_a_surprise(out: io.StringIO) -> None:
    """Dataclasses and models are masked field by field; what JSON can't hold is named or spelled out."""

    @dataclass
    class Contact:
        phone: str
        name: str

    class Account(BaseModel):
        password: str
        user: str

    configure("json", "info", out, is_strict=True)
    deep: list[object] = []
    deep.append(deep)
    structlog.get_logger().info(
        LogEvent.CHECK_CREATED,
        contact=Contact(phone_of(6), "A"),
        account=Account(password="x", user="u"),  # noqa: S106  no password
        error=ValueError("no"),
        path=Path("a/b"),
        at=datetime(2026, 1, 2, tzinfo=UTC),
        ratio=float("inf"),
        thing=object(),
        raw=b"abc",
        deep=deep,
        odd="\ud800",
    )
    (line,) = lines(out)
    assert line["contact"] == {"phone": f"…{phone_of(6)[-2:]}", "name": "A"}
    assert line["account"] == {"password": "***", "user": "u"}
    assert (line["error"], line["path"], line["at"]) == ("ValueError: no", "a/b", "2026-01-02T00:00:00+00:00")
    assert (line["ratio"], line["thing"], line["raw"], line["odd"]) == ("inf", "<object>", "<bytes>", "\ud800")
    assert len(json.dumps(line["deep"])) < 50


def test_a_value_that_cant_say_what_it_is_does_not_break_the_line(out: io.StringIO) -> None:
    """An exception whose text raises is logged by its class."""

    class Broken(Exception):  # noqa: N818  a name for one test
        def __str__(self) -> str:
            raise RuntimeError

    configure("json", "info", out, is_strict=True)
    structlog.get_logger().info(LogEvent.MESSAGE_FAILED, error=Broken())
    assert lines(out)[0]["error"] == "Broken: ***"


_DIGITS = st.text("0123456789", min_size=8, max_size=13)
_SEPARATED = st.builds(
    lambda digits, cuts, sign: "".join(
        digit + (sign if place in cuts and place < len(digits) - 1 else "") for place, digit in enumerate(digits)
    ),
    _DIGITS,
    st.sets(st.integers(0, 9), max_size=4),
    st.sampled_from([" ", "-", "/", " - "[:2]]),
)
_TEXT_KEY = st.sampled_from(["reason", "error", "message", "detail"])
_PHONE_KEY = st.sampled_from(["phone", "to", "chat_id", "phoneNumber", "contact_phone"])
_SECRET_KEY = st.sampled_from(["password", "api_key", "Authorization", "token", "client-secret", "body"])
_FREE_KEY = st.sampled_from(["a", "count", "robot_id", "event_name", "items"])


def around(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.dictionaries(_FREE_KEY, inner, min_size=1, max_size=3),
        st.tuples(st.integers(), inner),
    )


def nested(leaf: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.recursive(leaf, around, max_leaves=5)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), phone=_SEPARATED, plus=st.booleans(), chat=st.booleans())
def test_no_phone_number_gets_into_a_line(data: st.DataObject, phone: str, plus: bool, chat: bool) -> None:  # noqa: FBT001  hypothesis draws them
    """Under phone keys, inside free text, as a chat id or with a plus: at any depth the number is not in the line."""
    written = f"+{phone}" if plus else phone
    under_key = st.builds(lambda key: {key: written}, _PHONE_KEY)
    in_text = st.builds(lambda key: {key: f"could not reach {written}, gave up"}, _TEXT_KEY)
    in_text_list = st.builds(lambda key: {key: ["x", {"y": written}]}, _TEXT_KEY)
    leaves: list[st.SearchStrategy[object]] = [under_key, in_text, in_text_list]
    if plus and not phone.startswith("0"):
        leaves.append(st.just(f"sent to {written}"))
    if chat and phone.isdigit():
        leaves.append(st.just(f"{phone}@c.us"))
    fields = data.draw(st.dictionaries(_FREE_KEY, nested(st.one_of(leaves)), min_size=1))
    line = logged(fields)
    digits = "".join(sign for sign in phone if sign.isdigit())
    assert phone not in line
    assert digits not in line
    assert masked_phone(written)[-2:] == digits[-2:]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), secret=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=30))
def test_no_secret_gets_into_a_line(data: st.DataObject, secret: str) -> None:
    """Under secret keys, as a SecretStr, or known beforehand and quoted in free text: the secret is not in the line."""
    secret = f"zq{secret}"
    under_key = st.builds(lambda key, value: {key: value}, _SECRET_KEY, nested(st.just(secret)))
    in_text = st.builds(lambda key: {key: f"refused with {secret}"}, _TEXT_KEY)
    named = st.builds(lambda key: {key: f"login password={secret} failed, token: '{secret}'"}, _TEXT_KEY)
    leaf = st.one_of(under_key, in_text, named, st.just(SecretStr(secret)))
    assert secret not in logged(data.draw(st.dictionaries(_FREE_KEY, nested(leaf), min_size=1)), secret)


@settings(max_examples=100, deadline=None)
@given(at=st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001  hypothesis wants naive bounds
def test_times_stay_intact_in_text_and_in_fields(at: datetime) -> None:
    """A time in ISO form is no phone number, whatever its precision or zone is written like."""
    forms = [at.isoformat(), at.isoformat().replace("+00:00", "Z"), at.isoformat(" ", "seconds"), at.date().isoformat()]
    read = json.loads(logged({"reason": " and ".join(forms), "items": forms, "at": at}))
    assert read["reason"] == " and ".join(forms)
    assert (read["items"], read["at"]) == (forms, at.isoformat())


def test_ids_and_addresses_stay_readable_in_text() -> None:
    """A UUID, an address with its port, and small numbers are what an operator searches for."""
    text = "request 550e8400-e29b-41d4-a716-446655440000 to 192.168.100.20:3306 failed 3 times, check 30451, 12.5 s"
    assert Mask().text(text) == text


@pytest.mark.parametrize("piece", ["1 ", "1-", "password", "://a:", "a-", "192.168.1.", "2026-01-01T", "+1(", "\n"])
def test_hostile_text_costs_little(piece: str) -> None:
    """Masking 20,000 characters stays far from a second, whatever they repeat."""
    mask = Mask()
    text = piece * (20_000 // len(piece))
    started = cpu_s()
    mask.text(text)
    assert cpu_s() - started < 1


def cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def logged(fields: dict[str, object], *known: str) -> str:
    out = io.StringIO()
    configure("json", "info", out, secrets=known, is_strict=True)
    structlog.get_logger().info(LogEvent.MESSAGE_RETRIED, **fields)
    return out.getvalue()


def test_a_broken_stream_never_raises_and_is_told_of_later() -> None:
    """Lines for a stream that is gone are dropped and counted; the count is the first line that gets through."""

    class Flaky(io.StringIO):
        is_broken = True

        def write(self, text: str) -> int:
            if self.is_broken:
                raise BrokenPipeError
            return super().write(text)

    flaky = Flaky()
    writer = configure("json", "info", flaky, is_strict=True)
    log = structlog.get_logger()
    log.info(LogEvent.DAEMON_STARTED)
    log.info(LogEvent.DAEMON_READY)
    flaky.is_broken = False
    log.info(LogEvent.DAEMON_STOPPED)
    assert writer.dropped == 2
    assert [(line["event"], line.get("count")) for line in lines(flaky)] == [
        ("log.dropped", 2),
        ("daemon.stopped", None),
    ]


def test_a_pipe_without_a_reader_never_raises() -> None:
    """The reader of a pipe may go away while we log."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        writer = configure("json", "info", stream, is_strict=True)
        structlog.get_logger().info(LogEvent.DAEMON_STARTED)
        assert writer.dropped == 1
    structlog.get_logger().info(LogEvent.DAEMON_STOPPED)
    assert writer.dropped == 2


def test_a_process_without_stdout_logs_nowhere() -> None:
    """Python has no stdout when it was started with a closed one; that is no reason not to start."""
    program = "import sys, daemon.log as log; assert log.configure('auto', 'info', sys.stdout).dropped == 0"
    command = f'exec "{sys.executable}" -W error -c "{program}" >&-'
    assert subprocess.run(["sh", "-c", command], cwd=ROOT, timeout=30, check=False).returncode == 0  # noqa: S603, S607  our own line


def test_a_reader_that_stopped_reading_does_not_stop_us() -> None:
    """A full pipe costs dropped lines and no waiting; when it is read again every line is whole."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        writer = LogWriter(stream, lambda count: json.dumps({"dropped": count}) + "\n")
        long = json.dumps({"text": "x" * 9000}) + "\n"
        for _ in range(200):
            writer.write(long)
        assert writer.dropped > 100
        read: list[bytes] = []
        reader = threading.Thread(target=lambda: read.extend(iter(lambda: os.read(reading, 65536), b"")))
        first = os.read(reading, 65536)
        writer.write('{"last": 1}\n')
        reader.start()
    reader.join(5)
    os.close(reading)
    whole = [json.loads(line) for line in (first + b"".join(read)).split(b"\n") if is_json(line)]
    assert {"last": 1} in whole
    assert {"dropped": writer.dropped} in whole
    assert len(whole) + writer.dropped == 202


def is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_lines_of_several_threads_do_not_mix() -> None:
    """The worker thread of the database logs too."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        writer = LogWriter(stream, str)
        threads = [
            threading.Thread(target=lambda sign=sign: [writer.write(sign * 99 + "\n") for _ in range(50)])
            for sign in "abcd"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
    with os.fdopen(reading) as got:
        assert {(line[0], len(set(line.strip())), len(line)) for line in got} == {(sign, 1, 100) for sign in "abcd"}
