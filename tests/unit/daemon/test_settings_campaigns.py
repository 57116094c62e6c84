"""Settings of campaigns become the rules of the domain, and what is wrong with them is told by its path."""

from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

from daemon.settings import load_settings
from daemon.settings_campaigns import CampaignSettings, WahaSettings, breaker_rules, pace_rules, sending_window
from daemon.settings_sources import SettingsError
from domain.number_breaker import BreakerRules
from domain.pace import PaceRules, WarmUpStep
from domain.sending_window import SendingWindow


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(**environ: str) -> CampaignSettings:
    variables = {f"ROBOTD_CAMPAIGNS__{name.upper()}": value for name, value in environ.items()}
    return load_settings(None, variables).settings.campaigns


def refused(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(**environ)
    return [str(problem) for problem in caught.value.problems]


def test_the_defaults_are_those_of_the_domain() -> None:
    """One place may change without the other only where a test says so."""
    settings = CampaignSettings()
    assert pace_rules(settings) == PaceRules()
    assert breaker_rules(settings) == BreakerRules()
    assert sending_window(settings) == SendingWindow()


def test_without_an_address_there_are_no_campaigns() -> None:
    """And the key is a secret."""
    assert load_settings(None, {}).settings.waha == WahaSettings()
    environ = {"ROBOTD_WAHA__BASE_URL": "http://waha:3000/", "ROBOTD_WAHA__API_KEY": "k3y"}
    waha = load_settings(None, environ).settings.waha
    assert (waha.base_url, waha.api_key) == ("http://waha:3000", SecretStr("k3y"))
    assert "k3y" not in repr(waha)


def test_settings_become_a_pace() -> None:
    """Seconds become milliseconds, steps become a warm-up."""
    settings = loaded(
        gap_min_s="30.5",
        gap_max_s="60",
        time_zone="Europe/Amsterdam",
        hourly_cap="60",
        daily_cap="500",
        rest_after="50",
        rest_s="900",
        warm_up=" 0:20,4 : 50 ",
        rewarm_after_s="86400",
    )
    assert pace_rules(settings) == PaceRules(
        gap_min_ms=30_500,
        gap_max_ms=60_000,
        zone="Europe/Amsterdam",
        hourly_cap=60,
        daily_cap=500,
        rest_after=50,
        rest_ms=900_000,
        warm_up=(WarmUpStep(0, 20), WarmUpStep(4, 50)),
        rewarm_after_ms=86_400_000,
    )


def test_settings_become_a_window() -> None:
    """Days by their names, times by the clock, dates by their day."""
    settings = loaded(
        time_zone="Europe/Amsterdam",
        window_days="Mon, tue,FRI",
        window_start="22:30",
        window_end="06:00",
        excluded_dates="2026-12-25, 2026-12-26",
    )
    assert sending_window(settings) == SendingWindow(
        "Europe/Amsterdam",
        frozenset({1, 2, 5}),
        22 * 60 + 30,
        6 * 60,
        frozenset({date(2026, 12, 25), date(2026, 12, 26)}),
    )


def test_settings_become_thresholds() -> None:
    """Every one of them reaches the breaker under its own name."""
    settings = loaded(
        failures_in_row="6",
        failures_window="30",
        failures_share="0.3",
        first_warning_factor="3",
        second_warning_factor="5",
        rate_limited_factor="1.5",
        slowest_factor="7",
        rate_limited_wait_s="61",
        rate_limits_in_row="8",
        heal_after="9",
        unreachable_in_row="10",
        unreachable_wait_s="11",
        suspicion_wait_s="12",
        lock_s="3600",
        silent_after_s="900",
        silent_share="0.4",
        silent_sample="13",
        silent_drops="Pause",
        working_hold_s="14",
        ramp_sends="15",
        ramp_factor="2.5",
    )
    assert breaker_rules(settings) == BreakerRules(
        failures_in_row=6,
        failures_window=30,
        failures_share=0.3,
        first_warning_factor=3,
        second_warning_factor=5,
        rate_limited_factor=1.5,
        slowest_factor=7,
        rate_limited_wait_ms=61_000,
        rate_limits_in_row=8,
        heal_after=9,
        unreachable_in_row=10,
        unreachable_wait_ms=11_000,
        suspicion_wait_ms=12_000,
        lock_ms=3_600_000,
        silent_after_ms=900_000,
        silent_share=0.4,
        silent_sample=13,
        silence_stops=True,
        working_hold_ms=14_000,
        ramp_sends=15,
        ramp_factor=2.5,
    )


def test_a_smallest_gap_above_the_largest_is_no_mistake() -> None:
    """It is a warning, as it always was: the smallest gap counts."""
    rules = pace_rules(loaded(gap_min_s="20", gap_max_s="10"))
    assert rules.gap_ms(1, 1) == 20_000
    assert len(rules.warnings) == 2


@pytest.mark.parametrize(
    ("name", "value", "about"),
    [
        ("window_days", "monday", "out of mon, tue"),
        ("window_days", "mon,,tue", "out of mon, tue"),
        ("window_days", " ", "out of mon, tue"),
        ("window_start", "24:00", "pattern"),
        ("window_start", "9:00", "pattern"),
        ("window_start", "09:00\n", "pattern"),
        ("window_end", "24:01", "pattern"),
        ("excluded_dates", "25-12-2026", "such as 2026-12-25"),
        ("excluded_dates", "2026-02-30", "such as 2026-12-25"),
        ("warm_up", "20,50", "such as 0:20"),
        ("warm_up", "0:20, 4:", "such as 0:20"),
        ("warm_up", "0:20:30", "such as 0:20"),
        ("warm_up", "0:²", "such as 0:20"),
        ("warm_up", "0:0", "nothing is ever sent"),
        ("warm_up", "1:20", "starts at age 0"),
        ("warm_up", "0:20, 4:10", "no smaller cap"),
        ("time_zone", "Mars/Olympus", "unknown time zone"),
        ("hourly_cap", "0", "greater than or equal to 1"),
        ("gap_min_s", "-1", "greater than or equal to 0"),
        ("failures_share", "20", "less than or equal to 1"),
        ("first_warning_factor", "0.5", "greater than or equal to 1"),
        ("slowest_factor", "3", "can't grow by more"),
        ("silent_drops", "off", "warn"),
        ("expires_after_s", "-1", "greater than or equal to 0"),
    ],
)
def test_a_wrong_value_is_told_by_its_path(name: str, value: str, about: str) -> None:
    """With what is expected instead."""
    told = refused(**{name: value})
    assert [f"campaigns.{name}" in line and about in line for line in told] == [True], told


def test_true_is_no_number_here_either() -> None:
    """Not even where a number may be left out."""
    Path("robotd.yaml").write_text("campaigns:\n  expires_after_s: true\n  hourly_cap: true\n", encoding="utf-8")
    told = refused()
    assert ["expected a number" in line for line in told] == [True, True]


def test_an_excluded_date_too_many_is_told() -> None:
    """The list is bounded, as every search through it is."""
    days = ",".join(date.fromordinal(740_000 + day).isoformat() for day in range(1001))
    assert ["at most 1000 dates" in line for line in refused(excluded_dates=days)] == [True]
