"""The settings of WhatsApp events: what they need of each other, and the words of an opt-out."""

from pathlib import Path

import pytest

from daemon.cli_run import secrets_of
from daemon.settings import Settings, load_settings
from daemon.settings_campaigns import read_keywords
from daemon.settings_sources import SettingsError
from domain.opt_out import KEYWORDS, is_opt_out

ADDRESS = {"ROBOTD_WAHA__BASE_URL": "http://waha:3000"}
GOOD = {**ADDRESS, "ROBOTD_WAHA__EVENTS_QUEUE": "waha-events", "ROBOTD_WAHA__WEBHOOK_KEY": "k3y"}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(environ: dict[str, str]) -> Settings:
    return load_settings(None, environ).settings


def test_a_queue_and_its_key_are_taken_and_the_key_is_a_secret() -> None:
    """It is among the words that no log line may hold."""
    settings = loaded(GOOD)
    assert settings.waha.events_queue == "waha-events"
    assert "k3y" in secrets_of(settings)
    assert "k3y" not in repr(settings)
    assert loaded({}).waha.events_queue is None


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"ROBOTD_WAHA__WEBHOOK_KEY": None}, "events are read only with the key that signs them"),
        ({"ROBOTD_WAHA__BASE_URL": None}, "an event is a nudge to ask WAHA, which has no address"),
        ({"ROBOTD_WAHA__EVENTS_QUEUE": "robotd-commands"}, "two purposes share one queue"),
        ({"ROBOTD_WAHA__EVENTS_QUEUE": "status-queue-robotd-dlq"}, "two purposes share one queue"),
        ({"ROBOTD_WAHA__EVENTS_QUEUE": "robotd-timers-dlq"}, "two purposes share one queue"),
        ({"ROBOTD_WAHA__EVENTS_QUEUE": "robotd-timers"}, "two purposes share one queue"),
        ({"ROBOTD_QUEUES__COMMANDS": "waha-events-dlq"}, "two purposes share one queue"),
        ({"ROBOTD_WAHA__EVENTS_QUEUE": "w" * 77}, "a queue's name with its suffix has at most 80 characters"),
    ],
)
def test_settings_of_events_that_disagree_are_refused(changes: dict[str, str | None], about: str) -> None:
    """Without its key, without WAHA, or on a queue that has another purpose."""
    environ = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    with pytest.raises(SettingsError) as caught:
        loaded(environ)
    told = [str(problem) for problem in caught.value.problems]
    assert [line for line in told if about in line] != []
    assert "k3y" not in str(told)


def test_own_keywords_stand_beside_those_that_always_count() -> None:
    """Blanks around them don't matter; none means none."""
    assert read_keywords(None) == KEYWORDS
    keywords = read_keywords(" halt ,Geen Zin Meer")
    assert [is_opt_out(text, keywords) for text in ("HALT!", "geen zin meer", "stop", "zin")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("text", ["halt,,stop", "halt, ", "?", ","])
def test_a_keyword_that_is_none_is_refused(text: str) -> None:
    """An empty one would be everything or nothing."""
    with pytest.raises(SettingsError, match="expected words with commas between them"):
        loaded({"ROBOTD_CAMPAIGNS__OPT_OUT_KEYWORDS": text})
