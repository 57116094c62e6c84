"""What goes in comes out, on both engines."""

import asyncio
import random
import time
from decimal import Decimal
from typing import Any

import pytest

from daemon.store.database import Value, Write
from domain.errors import Conflict
from tests.conftest import AnyDatabase

PUT = "INSERT INTO thing (k, n, body, data) VALUES (?, ?, ?, ?)"
TEXTS = [
    "",
    " ",
    "trailing blanks   ",
    "\ttab\nline\r\nend\x00nul",
    "Zoë, żółw, Ελλάδα, 日本語",
    "4 bytes: 🤖 \U0001d4b3 🏳️‍🌈",
    "e\u0301 is not \u00e9",
    "quotes ' \" ` and \\ back\\\\slashes \\' \\%",
    "100 % of %s and %(name)s? {now_ms} {ids} ; -- no comment /* nor this */",
    "\u2028\u2029\ufeff\uffff",
]


@pytest.mark.parametrize("text", TEXTS)
async def test_every_text_comes_back_as_it_was(things: AnyDatabase, text: str) -> None:
    """Text survives as a value, as a key, and in a comparison."""
    async with asyncio.timeout(10):
        await things.apply([Write(PUT, (text, 1, text, text.encode()), rows=1)])
        rows = await things.fetch("SELECT k, body, data FROM thing WHERE k = ? AND body = ?", (text, text))
    assert rows == [(text, text, text.encode())]


async def test_no_mixture_of_special_characters_breaks_out(things: AnyDatabase) -> None:
    """Quotes, escapes, comments and ends of statements in any order are data, side by side in one statement."""
    chance = random.Random(5)
    alphabet = [
        "'",
        '"',
        "\\",
        "%",
        "?",
        ";",
        "--",
        "#",
        "/*",
        "*/",
        "\x00",
        "\n",
        "\r",
        "\x1a",
        "`",
        "\u00a5",
        "\u20a9",
        "🤖",
    ]
    async with asyncio.timeout(20):
        for _ in range(50):
            texts = tuple("".join(chance.choices(alphabet, k=chance.randrange(12))) for _ in range(20))
            values: tuple[Value, ...] = (*texts, *(text.encode() for text in texts))
            sql = "SELECT " + ", ".join("?" * len(values))
            assert await things.fetch(sql, values) == [values]


@pytest.mark.parametrize("number", [0.0, -0.5, 0.1, 1e-300, 1.7976931348623157e308, 123456789.125])
async def test_floats_are_exact(things: AnyDatabase, number: float) -> None:
    """A float is no rounded decimal."""
    async with asyncio.timeout(10):
        ((value,),) = await things.fetch("SELECT ?", (number,))
    assert (value, type(value)) == (number, float)


@pytest.mark.parametrize("value", [Decimal(1), ["list"], {"a": 1}])
async def test_other_types_are_refused(things: AnyDatabase, value: Any) -> None:
    """What the seam doesn't name is a mistake of the caller on both engines."""
    async with asyncio.timeout(10):
        with pytest.raises(Exception, match=r"not supported|no SQL value"):
            await things.fetch("SELECT ?", (value,))


async def test_keys_differ_by_case_accent_blank_and_form(things: AnyDatabase) -> None:
    """Keys that a person might take for the same are different keys."""
    keys = ["a", "A", "a ", " a", "á", "a\u0301", "ä", "ß", "ss", "\uff41", "🤖", "🦾"]
    async with asyncio.timeout(10):
        await things.apply([Write(PUT, (key, n, None, None)) for n, key in enumerate(keys)])
        for n, key in enumerate(keys):
            assert await things.fetch("SELECT n FROM thing WHERE k = ?", (key,)) == [(n,)]
            with pytest.raises(Conflict):
                await things.apply([Write(PUT, (key, n, None, None))])


async def test_keys_sort_by_code_point(things: AnyDatabase) -> None:
    """ORDER BY on text means the same everywhere."""
    keys = ["b", "a", "B", "é", "z", "🤖", "0", "\uff5e"]
    async with asyncio.timeout(10):
        await things.apply([Write(PUT, (key, None, None, None)) for key in keys])
        assert [key for (key,) in await things.fetch("SELECT k FROM thing ORDER BY k")] == sorted(keys)


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)])
async def test_whole_numbers_are_exact_to_63_bits(things: AnyDatabase, number: int) -> None:
    """No number passes through a float."""
    async with asyncio.timeout(10):
        await things.apply([Write(PUT, ("k", number, None, None))])
        assert await things.fetch("SELECT n, n = ? FROM thing WHERE n = ?", (number, number)) == [(number, 1)]


async def test_nulls_floats_sums_and_averages_have_python_types(things: AnyDatabase) -> None:
    """Aggregates come back as int, float or None, never as a type that JSON doesn't know."""
    async with asyncio.timeout(10):
        (empty,) = await things.fetch("SELECT SUM(n), MIN(n), COUNT(*) FROM thing")
        await things.apply([Write(PUT, ("a", 1, None, None)), Write(PUT, ("b", 2, None, None))])
        (full,) = await things.fetch("SELECT SUM(n), AVG(n), MAX(body), ? FROM thing", (0.5,))
    assert empty == (None, None, 0)
    assert full == (3, 1.5, None, 0.5)
    assert [type(value) for value in full] == [int, float, type(None), float]


async def test_a_mebibyte_of_text_and_bytes_passes(things: AnyDatabase) -> None:
    """The largest body that a queue takes fits, many of them in one transaction."""
    body = "robot 🤖 " * (1024 * 1024 // 11)
    rows: list[tuple[Value, ...]] = [(f"k{n}", n, body, bytes(range(256)) * 200) for n in range(8)]
    async with asyncio.timeout(30):
        await things.apply([Write(PUT, row, rows=1) for row in rows])
        assert await things.fetch("SELECT k, n, body, data FROM thing ORDER BY k") == rows


async def test_a_large_transaction_is_still_one(things: AnyDatabase) -> None:
    """Megabytes of writes that fail at the end leave nothing."""
    body = "x" * 600_000
    writes = [Write(PUT, (f"k{n}", n, body, None), rows=1) for n in range(6)]
    async with asyncio.timeout(30):
        with pytest.raises(Conflict):
            await things.apply([*writes, Write(PUT, ("k0", 0, None, None))])
        assert await things.fetch("SELECT COUNT(*) FROM thing") == [(0,)]


async def test_text_that_is_no_unicode_is_refused_and_nothing_is_written(things: AnyDatabase) -> None:
    """Half of a surrogate pair, which JSON lets in, is an error of its own and leaves the connection well."""
    async with asyncio.timeout(10):
        for text in ("\ud83e", "\udc80"):
            with pytest.raises(UnicodeEncodeError):
                await things.apply([Write(PUT, ("fine", 1, None, None)), Write(PUT, ("k", 1, text, None))])
        assert await things.fetch("SELECT k FROM thing") == []


async def test_the_databases_clock_is_the_time_in_milliseconds(things: AnyDatabase) -> None:
    """Both engines' clocks agree with ours, have milliseconds, and can be stored."""
    async with asyncio.timeout(10):
        before_ms = time.time_ns() // 1_000_000
        await things.apply([Write("INSERT INTO thing (k, n) VALUES (?, {now_ms})", ("now",))])
        read = [await things.fetch("SELECT n FROM thing")]
        read += [await things.fetch("SELECT {now_ms}") for _ in range(20)]
        after_ms = time.time_ns() // 1_000_000
    times_ms = [value for ((value,),) in read]
    # julianday() counts days as a float, which is good to about a millisecond.
    assert all(isinstance(at_ms, int) and before_ms - 2 <= at_ms <= after_ms + 2 for at_ms in times_ms)
    assert any(isinstance(at_ms, int) and at_ms % 1000 for at_ms in times_ms)
