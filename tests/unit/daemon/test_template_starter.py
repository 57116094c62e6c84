from pathlib import Path

import pytest

from daemon.strict_yaml import read_strict
from daemon.template_files import read_file
from daemon.template_starter import SCHEMA, starter

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["TEA_TIME", "NO", "Y", "null", "Infinity", "e5", "T-1", "A" * 64])
def test_the_starter_is_a_template_that_nothing_is_to_be_said_against(tmp_path: Path, name: str) -> None:
    """Under any name that a template may have."""
    path = tmp_path / "a.yaml"
    path.write_text(starter(name, tmp_path), encoding="utf-8")

    read = read_file(path, warnings=True)

    assert read.problems == ()
    assert read.template is not None
    assert (read.template.name, read.template.version, len(read.template.cases)) == (name, 1, 5)


@pytest.mark.parametrize("folder", [ROOT / "templates", ROOT, ROOT / "docs" / "contracts", ROOT / "templates" / "more"])
def test_inside_a_checkout_the_starter_tells_editors_where_the_schema_is(folder: Path) -> None:
    """By a path relative to the file, and the loader reads over that line."""
    text = starter("TEA_TIME", folder)
    first = text.splitlines()[0]

    assert first.startswith("# yaml-language-server: $schema=")
    assert (folder / first.partition("=")[2]).resolve() == ROOT / SCHEMA
    assert read_strict(text)[0]["name"] == "TEA_TIME"


def test_elsewhere_the_starter_names_no_schema(tmp_path: Path) -> None:
    """No path from there would stay right."""
    assert "yaml-language-server" not in starter("TEA_TIME", tmp_path)
