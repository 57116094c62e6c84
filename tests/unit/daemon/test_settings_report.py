import io
import json
import secrets
from pathlib import Path

import pytest
from rich.console import Console

from daemon.settings import Settings, load_settings
from daemon.settings_report import as_json, configuration_page, print_table, problems_as_json, rows
from daemon.settings_sources import SettingsError, dotted, leaves, variable

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_page_is_not_stale() -> None:
    """docs/configuration.md is what the model says today."""
    assert PAGE.read_text(encoding="utf-8") == configuration_page(), (
        "run python -m daemon.settings_report docs/configuration.md"
    )


def test_the_page_names_every_setting_and_no_machine() -> None:
    """Each setting stands there with its variable and a description; no folder of the machine that wrote it does."""
    page = configuration_page()
    for path, field in leaves(Settings).items():
        assert f"`{dotted(path)}`<br>`{variable(path)}`" in page
        assert field.description, dotted(path)
    assert str(Path(__file__).parents[3]) not in page


def test_the_rows_tell_value_and_source() -> None:
    """A set value names its source, an unset one is a default."""
    found = {row.path: row for row in rows(load_settings(None, {"ROBOTD_CONSUMER__WAIT_S": "7"}))}
    assert list(found) == [dotted(path) for path in leaves(Settings)]
    wait = found["consumer.wait_s"]
    assert (wait.value, wait.source, wait.is_default) == (7, "ROBOTD_CONSUMER__WAIT_S", False)
    assert found["log.level"].is_default
    assert found["aws.endpoint_url"].value is None


def test_no_form_of_the_report_shows_a_secret() -> None:
    """Rows, JSON and table show that a password is set, and not which."""
    word = secrets.token_urlsafe(12)
    loaded = load_settings(None, {"ROBOTD_DATABASE__PASSWORD": word})
    out = io.StringIO()
    print_table(loaded, Console(file=out, width=200))
    assert word not in as_json(loaded) + out.getvalue() + repr(rows(loaded))
    assert "***" in out.getvalue()
    read = {row["path"]: row["value"] for row in json.loads(as_json(loaded))["settings"]}
    assert (read["database.password"], read["aws.secret_access_key"]) == ("***", None)


def test_the_table_prints_values_as_they_are() -> None:
    """Brackets in a value are no markup for the table."""
    out = io.StringIO()
    loaded = load_settings(None, {"ROBOTD_QUEUES__ROBOT_PREFIX": "https://sqs/[red]/robot-"})
    print_table(loaded, Console(file=out, width=240))
    assert "https://sqs/[red]/robot-" in out.getvalue()


def test_problems_come_as_json_too() -> None:
    """A program gets the same problems as a person."""
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {"ROBOTD_CONSUMER__WAIT_S": "99"})
    read = json.loads(problems_as_json(caught.value))
    assert read["ok"] is False
    assert [(it["paths"], it["source"], it["value"]) for it in read["problems"]] == [
        (["consumer.wait_s"], "ROBOTD_CONSUMER__WAIT_S", "'99'")
    ]
