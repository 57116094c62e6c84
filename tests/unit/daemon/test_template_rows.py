"""A template as rows and back: nothing that decides is lost on the way."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.template_files import read_files
from daemon.template_reader import RowReader
from daemon.template_rows import Condition, TemplateRow, content_of, row_of
from domain.template import Template, TemplateError, read_template

SHIPPED = [read.template for read in read_files([Path(__file__).parents[3] / "templates"]) if read.template is not None]
COLUMNS = 11
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=40),
    st.binary(max_size=20),
    st.sampled_from(["PAST", "FUTURE", "PASS", "exists('IN_BED')", '["IN_BED"]', "[]", 0, 1]),
)


@pytest.mark.parametrize("template", SHIPPED, ids=lambda template: template.name)
def test_a_shipped_template_comes_back_as_it_was(template: Template) -> None:
    """Every field but its examples, which only files have."""
    row = row_of(template, is_active=template.is_active)
    content, problems = content_of(row)
    back = read_template(content)
    assert problems == []
    assert back.content_hash == template.content_hash == row.content_hash
    for field in ("name", "version", "description", "is_active", "poll_until_end", "on_timeout", "event_names"):
        assert getattr(back, field) == getattr(template, field)
    assert (back.past_interval_s, back.future_interval_s) == (template.past_interval_s, template.future_interval_s)
    for mine, theirs in ((back.past, template.past), (back.future, template.future)):
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            assert {verdict: one.text for verdict, one in mine.expressions.items()} == {
                verdict: one.text for verdict, one in theirs.expressions.items()
            }
            assert list(mine.expressions) == list(theirs.expressions)


@given(st.lists(VALUES, min_size=COLUMNS, max_size=COLUMNS), st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=8))
def test_values_of_any_kind_are_a_template_or_a_reason(
    values: list[Any], conditions: list[tuple[Any, Any, Any]]
) -> None:
    """Nothing else comes out, whatever stands in whichever column."""
    row = replace(TemplateRow(*values[:COLUMNS]), conditions=tuple(Condition(*one) for one in conditions))
    reader = RowReader(4)
    template = reader.template_of("NAME", row)
    if template is None:
        assert reader.problems
    else:
        content, _ = content_of(row)
        assert read_template(content).content_hash == template.content_hash


def test_a_parsed_file_serves_its_row_without_parsing() -> None:
    """The same expressions, with the row's own state and words."""
    template = SHIPPED[0]
    reader = RowReader(4)
    reader.know(template)
    found = reader.template_of(template.name, row_of(template, is_active=False))
    assert found is not None
    assert found.past is template.past
    assert not found.is_active


def test_what_no_file_could_say_is_a_reason() -> None:
    """The reason names the column."""
    row = TemplateRow("ROSE", 1, "So?", 1, 0, "{}", None, None, None, None, None, (Condition("NOW", "PASS", "x"),))
    content, problems = content_of(row)
    assert [str(problem) for problem in problems] == ["phase: is neither PAST nor FUTURE"]
    with pytest.raises(TemplateError, match="expected a list"):
        read_template(content)
