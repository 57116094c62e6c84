import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.scalar_columns import column_of
from daemon.strict_yaml import read_strict


@pytest.mark.parametrize(
    ("line", "value", "character", "column"),
    [
        ("k: exists(1)", "exists(1)", 1, 4),
        ("k: exists(1)  # so", "exists(1)", 9, 12),
        ("k: exists(1)", "exists(1)", 10, 13),
        ("k: 'a b'", "a b", 3, 7),
        ("k: 'a b'", "a b", 4, 8),
        ("k: 'f(''x'')'", "f('x')", 4, 9),
        ("k: \"f('x')\"", "f('x')", 4, 8),
        ('k: "\\x61\\tb\\u0063d"', "a\tbcd", 5, 18),
        ('k: "\\"a\\""', '"a"', 2, 7),
        ("k: ''", "", 1, 5),
    ],
)
def test_a_character_of_a_value_in_one_line_has_an_exact_column(
    line: str, value: str, character: int, column: int
) -> None:
    """Doubled quotes and escapes count as what they stand for; one past the end is what follows."""
    assert column_of(line, 4, value, character) == column


@pytest.mark.parametrize(
    ("line", "value", "character"),
    [
        ("k: >-", "exists(1)", 3),
        ("k: |", "|", 1),
        ("k: a", "a b", 2),
        ("k: 'a", "a b", 2),
        ('k: "a\\', "ab", 2),
        ('k: "a', "a b", 1),
        ("k: 'a'", "b c", 1),
        ("k: a", "a", 3),
        ("k: a", "a", 0),
        ("", "a", 1),
        ('k: "\\xzz"', "a", 1),
    ],
)
def test_what_can_not_be_told_exactly_is_not_told(line: str, value: str, character: int) -> None:
    """Block texts, texts over several lines, and places that the value doesn't have."""
    assert column_of(line, 4, value, character) is None


@given(text=st.text(st.sampled_from("ab '\"\\:#{[é"), min_size=1, max_size=12), double=st.booleans())
def test_each_character_is_found_where_yaml_read_it(text: str, *, double: bool) -> None:
    """Quoted in either way, every character stands at its column, and the quote follows the last."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"') if double else text.replace("'", "''")
    quote = '"' if double else "'"
    line = f"k: {quote}{escaped}{quote}"
    content, marks = read_strict(line)
    assert content == {"k": text}
    start = marks["k",][1]

    for number, character in enumerate(text, 1):
        column = column_of(line, start, text, number)
        assert column is not None
        found = line[column - 1 :]
        assert found[0] == character or found[:2] == f"\\{character}"
    assert column_of(line, start, text, len(text) + 1) == len(line)
