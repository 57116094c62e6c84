"""JSON text: strict on the way in, ASCII on the way out; times as the neighbours write them."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MessageError
from domain.wire import iso, milliseconds, read_json, whole_second, write_json

texts = st.text()
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(texts, values, max_size=5))
def test_what_is_written_is_read_back_and_is_ascii(content: dict[str, object]) -> None:
    """Whatever text stands in it: SQS refuses some characters raw, none escaped."""
    text = write_json(content)
    assert text.isascii()
    assert read_json(text) == content


def test_a_million_keys_with_a_repetition_are_refused_in_no_time() -> None:
    """The search for the repeated key is linear: a body that fits into one message can't hold the loop for minutes."""
    text = "{" + ",".join(f'"{n}":0' for n in range(90_000)) + ',"89999":0}'
    began_s = time.process_time()
    with pytest.raises(MessageError, match="'89999' stands twice"):
        read_json(text)
    assert time.process_time() - began_s < 2


def test_a_pair_of_surrogates_is_one_character() -> None:
    """Only halves are refused."""
    assert read_json('{"face": "\\ud83d\\ude00"}') == {"face": "\U0001f600"}


@pytest.mark.parametrize("depth", [100, 500, 900, 950, 960, 970, 980, 990, 1000, 1100, 100_000])
def test_any_depth_is_read_or_refused(depth: int) -> None:
    """Also where the reader still manages and the check for text no longer does: nothing else is ever raised."""
    text = '{"a":' + "[" * depth + '"\\u0041"' + "]" * depth + "}"
    with suppress(MessageError):
        assert list(read_json(text)) == ["a"]


@given(st.integers(0, 4_000_000_000_000))
def test_a_time_is_written_to_the_millisecond_and_read_back(at_ms: int) -> None:
    """Always UTC with three digits and a Z."""
    text = iso(at_ms)
    assert text.endswith("Z")
    assert milliseconds(datetime.fromisoformat(text)) == at_ms
    assert whole_second(at_ms) % 1000 == 0
    assert 0 <= at_ms - whole_second(at_ms) < 1000


def test_what_is_finer_than_a_millisecond_is_cut_off() -> None:
    """A time just before a second stays before it; the neighbours' columns would cut it, too."""
    at = datetime(2025, 11, 25, 8, 39, 59, 999_999, tzinfo=UTC)
    assert iso(milliseconds(at)) == "2025-11-25T08:39:59.999Z"
    assert iso(whole_second(milliseconds(at))) == "2025-11-25T08:39:59.000Z"


def test_the_zone_of_a_time_does_not_matter() -> None:
    """The same moment in Amsterdam and in UTC is the same number."""
    at = datetime(2025, 11, 25, 8, 40, tzinfo=UTC)
    assert milliseconds(at.astimezone(timezone(timedelta(hours=1)))) == milliseconds(at) == 1_764_060_000_000
