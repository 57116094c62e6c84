import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.strict_yaml import MAX_BYTES, MAX_DEPTH, StrictYamlError, YamlProblem, read_strict

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join(['*' + chr(97 + level)] * 9)}]\n" for level in range(8)
)

HOSTILE: dict[str, str | bytes] = {
    "ten million aliases": BOMB,
    "anchor on a scalar": "a: &x 1",
    "anchor on a mapping": "a: &x {b: 1}",
    "anchor on a key": "&x a: 1",
    "anchor on the document": "&x\na: 1",
    "alias": "a: *x",
    "alias as a key": "*x : 1",
    "alias to itself": "a: &x [*x]",
    "merge key": "a: {b: 1}\nc: {<<: {b: 2}}",
    "merge of an anchor": "a: &x {b: 1}\nc:\n  <<: *x",
    "python object": "a: !!python/object/apply:os.system ['id']",
    "python name": "a: !!python/name:os.system",
    "python module": "!!python/module:os {}",
    "python tuple": "a: !!python/tuple [1, 2]",
    "local tag": "a: !secret x",
    "tag without a name": "a: ! x",
    "tag for text": "a: !!str 1",
    "tag for a number": "a: !!int '1'",
    "tag for binary": "a: !!binary aGk=",
    "tag for a set": "a: !!set {b}",
    "tag for an ordered map": "a: !!omap [b: 1]",
    "tag for null": "a: !!null ''",
    "tag by address": "a: !<tag:yaml.org,2002:str> x",
    "tag on a key": "!!str a: 1",
    "version directive": "%YAML 1.1\n---\na: 1",
    "tag directive": "%TAG ! tag:example.org,2000:\n---\na: !x 1",
    "unknown directive": "%WHATEVER\n---\na: 1",
    "second document": "a: 1\n---\nb: 2",
    "second document that is empty": "a: 1\n---\n",
    "document after the end": "a: 1\n...\n---\na: 2",
    "duplicate key": "a: 1\na: 2",
    "duplicate key, once in quotes": "a: 1\n'a': 2",
    "duplicate key, written as an escape": 'a: 1\n"\\x61": 2',
    "duplicate key in a flow": "a: {b: 1, b: 2}",
    "duplicate key far below": "a:\n  - b:\n      c: 1\n      c: 1",
    "yes": "a: yes",
    "NO": "a: NO",
    "Norway in a list": "a: [SE, NO]",
    "on": "a: on",
    "Off": "a: Off",
    "y": "a: y",
    "True": "a: True",
    "FALSE": "a: FALSE",
    "null": "a: null",
    "Null": "a: Null",
    "tilde": "a: ~",
    "octal": "a: 012",
    "new octal": "a: 0o14",
    "hexadecimal": "a: 0x1F",
    "binary": "a: 0b101",
    "underscores": "a: 1_000",
    "base sixty": "a: 12:30",
    "base sixty seconds": "a: 190:20:30",
    "exponent": "a: 1e3",
    "exponent with a point": "a: 1.0e+3",
    "infinity": "a: .inf",
    "minus infinity": "a: -.INF",
    "not a number": "a: .NaN",
    "nan as a word": "a: nan",
    "plus sign": "a: +1",
    "point first": "a: .5",
    "point last": "a: 5.",
    "minus zero": "a: -0",
    "leading zero": "a: 007.5",
    "too many digits": "a: " + "9" * 5_000,
    "date": "a: 2025-11-25",
    "time stamp": "a: 2025-11-25T08:40:00Z",
    "version number": "a: 1.2.3",
    "duration": "a: 30m",
    "equals sign": "a: =",
    "number as a key": "1: a",
    "true as a key": "true: a",
    "on as a key": "on: a",
    "null as a key": "~: a",
    "empty key": ": a",
    "empty key in quotes": "'': a",
    "long key": "? " + "a" * 200 + "\n: 1",
    "list as a key": "? [a, b]\n: 1",
    "mapping as a key": "{a: 1}: 2",
    "key of many lines": '"a\\nb": 1',
    "deep list": "a: " + "[" * 9 + "]" * 9,
    "deep mapping": "".join("  " * level + "a:\n" for level in range(9)) + "  " * 9 + "b: 1",
    "a thousand brackets": "a: " + "[" * 1_000,
    "sixty thousand brackets": "a: " + "[" * 60_000,
    "sixty thousand braces": "a: " + "{" * 60_000,
    "dashes": "- " * 30_000,
    "question marks": "? " * 30_000,
    "commas": "a: {" + "," * 60_000,
    "too many items": "a:\n" + "- x\n" * 16_000,
    "too many keys": "".join(f"k{number}: 1\n" for number in range(5_000)),
    "too many documents": "---\n" * 16_000,
    "too large": "a: " + "x" * MAX_BYTES,
    "too large a comment": "#" * (MAX_BYTES + 1),
    "ten megabytes": "a: " + "[" * 10_000_000,
    "a list on top": "- a",
    "a text on top": "a",
    "a number on top": "7",
    "unclosed quote": "a: 'b",
    "unclosed bracket": "a: [b",
    "bad indent": "a: 1\n b: 2",
    "two values": "a: b: c",
    "tab as indent": "a:\n\tb: 1",
    "tab after the colon": "a:\t1",
    "control character": "a: \x07",
    "zero byte": "a: \x00",
    "delete": "a: \x7f",
    "next line": "a: 1\x85b: 2",
    "line separator": "a: b\u2028c: d",
    "no-break space": "a:\u00a0b",
    "bidirectional override": "a: x\u202ey",
    "zero width space": "a: x\u200by",
    "ideographic space": "a: x\u3000y",
    "paragraph separator": "a: b\u2029c: d",
    "vertical tab": "a: b\x0bc",
    "form feed": "a: b\x0cc: d",
    "end of file of old systems": "a: 1\x1a",
    "two byte order marks": "\ufeff\ufeffa: 1",
    "private use": "a: \ue000",
    "no character": "a: \uffff",
    "tag characters": "a: x\U000e0041",
    "soft hyphen": "a: x\u00ady",
    "digits of another script": "a: \u0661\u0662",
    "wide digits": "a: \uff11\uff12",
    "superscript": "a: \u00b2",
    "Roman numeral": "a: \u2167",
    "merge key in quotes twice": "'<<': 1\n\"<<\": 2",
    "duplicate key over styles and lines": "a: 1\n? a\n: 2",
    "duplicate key through an escaped key": '"a": 1\n"\\u0061": 2',
    "duplicate key with a trailing space": "a: 1\na : 2",
    "key of 129 characters": "k" * 129 + ": 1",
    "key with an override": '"\\u202e": 1',
    "key with an escape sequence": '"\\e[31m": 1',
    "decimal as a key": "1.5: a",
    "time as a key": "12:30: a",
    "end marker in the middle": "a: 1\n...\nb: 2",
    "start marker in the middle of a list": "a:\n- b\n---\n- c",
    "a tag on a list": "a: !!seq []",
    "a tag on nothing": "a: !!null",
    "an unused anchor": "a: &b",
    "an alias in a key of a flow": "a: {*x : 1}",
    "block scalar with a wrong indicator": "a: |x\n  b",
    "block scalar with two indents": "a: |12\n  b",
    "block scalar with no indent": "a: |0\n  b",
    "a number of sixteen digits": "a: 1234567890123456",
    "a fraction of ten digits": "a: 0.1234567890",
    "minus alone": "a: -",
    "minus word": "a: -x",
    "dot dot": "a: ..",
    "a comma first": "a: ,b",
    "a hundred thousand digits": "a: " + "1" * 60_000,
    "deep braces in brackets": "a: " + "[{b: " * 20 + "1" + "}]" * 20,
    "a quote in a hundred lines": "a: '" + "x\n" * 30_000,
    "escapes without end": 'a: "' + "\\x41" * 16_000,
    "one key often": "a: 1\n" * 13_000,
    "brackets that never close": "a: [b, " * 9_000,
    "byte order mark inside": "a: x\ufeffy",
    "lone surrogate": "a: \ud800",
    "carriage return alone": "a: 1\rb: 2",
    "escape to a zero byte": 'a: "\\0"',
    "escape to a line break": 'a: "x\\ny"',
    "escape to a surrogate": 'a: "\\ud800"',
    "escape to an override": 'a: "\\u202e"',
    "escape beyond unicode": 'a: "\\UFFFFFFFF"',
    "escape of a bell in a key": '"\\a": 1',
    "unknown escape": 'a: "\\q"',
    "at sign": "a: @x",
    "backtick": "a: `x`",
    "percent": "a: %x",
    "latin-1": "a: caf\u00e9".encode("latin-1"),
    "utf-16": "a: 1".encode("utf-16"),
    "utf-32": "a: 1".encode("utf-32"),
    "overlong utf-8": b"a: \xc0\xaf",
    "half a character": b"a: \xe2\x82",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_ambiguous_file_is_refused_at_once(name: str) -> None:
    """Every problem has a place and a message of one line, and no other exception comes out."""
    started = time.process_time()

    with pytest.raises(StrictYamlError) as refused:
        read_strict(HOSTILE[name], file="x.yaml")

    assert (
        time.process_time() - started < 0.3
    )  # the bound is for a loaded machine: most take less than a millisecond, none 0.1 s
    assert refused.value.problems
    for problem in refused.value.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message.isprintable()
        assert len(problem.message) < 200


def test_the_corpus_is_large() -> None:
    """More than a hundred files stand against the reader."""
    assert len(HOSTILE) > 100


def test_plain_data_is_read_as_written() -> None:
    """Numbers, true and false, text in every style, lists, mappings, empty values."""
    text = """\
# a comment
small: 0
negative: -1
decimal: 0.25
below: -10.5
yes-like: true
other: false
words: Did the resident use the toilet?
path: /var/lib/robotd
name: _private
umlaut: Ärzte
quoted: '012'
double: "it's \\u00e9"
empty:
nothing: ''
folded: >
  one
  two
literal: |
  one
  two
stripped: >-
  one

  two
  three
bracket: (one or two) and three
spread: one
  two
list: [a, 'no', 3]
block:
  - x
  - {z: 1}
url: http://localhost:4566/queue
"""

    value, _ = read_strict(text)

    assert value == {
        "small": 0,
        "negative": -1,
        "decimal": 0.25,
        "below": -10.5,
        "yes-like": True,
        "other": False,
        "words": "Did the resident use the toilet?",
        "path": "/var/lib/robotd",
        "name": "_private",
        "umlaut": "Ärzte",
        "quoted": "012",
        "double": "it's é",
        "empty": None,
        "nothing": "",
        "folded": "one two\n",
        "literal": "one\ntwo\n",
        "stripped": "one\ntwo three",
        "bracket": "(one or two) and three",
        "spread": "one two",
        "list": ["a", "no", 3],
        "block": ["x", {"z": 1}],
        "url": "http://localhost:4566/queue",
    }
    assert type(value["small"]) is int
    assert type(value["decimal"]) is float


def test_every_path_keeps_its_place() -> None:
    """Scalars stand where they begin, lists and mappings where their key does; both count from 1."""
    _, marks = read_strict("a:\n  b: 1\n  c: [x, z]\nd:\n  - e: 2\n")

    assert marks == {
        (): (1, 1),
        ("a",): (1, 1),
        ("a", "b"): (2, 6),
        ("a", "c"): (3, 3),
        ("a", "c", 0): (3, 7),
        ("a", "c", 1): (3, 10),
        ("d",): (4, 1),
        ("d", 0): (5, 5),
        ("d", 0, "e"): (5, 8),
    }


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "\ufeff", b"", "{}"])
def test_a_file_without_content_is_an_empty_mapping(text: str | bytes) -> None:
    """A file whose lines are all commented out is not a mistake of YAML."""
    assert read_strict(text)[0] == {}


def test_windows_line_ends_and_a_byte_order_mark_are_harmless() -> None:
    """Some editors write them; the places stay right."""
    value, marks = read_strict("\ufeffa: 1\r\nb: x\r\n".encode())

    assert value == {"a": 1, "b": "x"}
    assert marks["b",] == (2, 4)


def test_the_deepest_legal_nesting_is_read() -> None:
    """One level less than what is refused, in brackets and in indents."""
    indents = "".join("  " * level + "a:\n" for level in range(MAX_DEPTH + 1))

    for depth in (MAX_DEPTH - 1, MAX_DEPTH):
        brackets = "a: " + "[" * depth + "]" * depth
        lines = "\n".join(indents.splitlines()[:depth]) + "\n" + "  " * depth + "b: 1"
        if depth < MAX_DEPTH:
            assert read_strict(brackets)[0]
            assert read_strict(lines)[0]
        else:
            for text in (brackets, lines):
                with pytest.raises(StrictYamlError, match="nested deeper"):
                    read_strict(text)


def test_all_problems_of_one_file_come_together() -> None:
    """What does not break the structure does not stop the reading."""
    with pytest.raises(StrictYamlError) as refused:
        read_strict("a: NO\nb: 1\nb: 2\nc: [12:30, x]\n", file="bad.yaml")

    assert refused.value.problems == [
        YamlProblem(1, 4, "'NO' could be read in more than one way", "put it in quotes"),
        YamlProblem(3, 1, "'b' stands twice", "first in line 2"),
        YamlProblem(4, 5, "'12:30' could be read in more than one way", "put it in quotes"),
    ]
    assert str(refused.value).startswith("bad.yaml:1:4: 'NO' could be read")


def test_endless_problems_are_cut() -> None:
    """Twenty are enough to begin with."""
    with pytest.raises(StrictYamlError) as refused:
        read_strict("a: [" + ", ".join(["no"] * 500) + "]")

    assert len(refused.value.problems) == 21
    assert refused.value.problems[-1].message == "too many problems, the rest is not read"


plain = st.one_of(
    st.booleans(),
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2000, exclude_categories=["C", "Z"]), max_size=20),
)
keys = st.from_regex(r"\A[a-zA-Z][a-zA-Z0-9_-]{0,12}\Z")


def written(value: object) -> str:
    """Write plain data as strict YAML in flow style, text always in quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"'{key}': {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(one) for one in value) + "]"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(keys, st.recursive(plain, lambda inner: st.lists(inner, max_size=3), max_leaves=4), max_size=5))
def test_what_is_written_plainly_is_read_back(value: dict[str, object]) -> None:
    """Nothing changes its type or its text on the way."""
    assert read_strict(written(value))[0] == value


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.binary(max_size=80), st.text("a:-[]{}&*!|>'\"%@`#,? \n012.~<", max_size=40)))
def test_any_text_at_all_is_read_or_refused(text: str | bytes) -> None:
    """No other exception comes out, whatever the bytes."""
    with suppress(StrictYamlError):
        value, marks = read_strict(text)
        assert () in marks or not value
