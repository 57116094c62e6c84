"""The settings of tests of delivery servers: what is refused, and the rules that they become."""

from typing import Any

import pytest
from pydantic import ValidationError

from daemon.settings_servers import (
    MailSettings,
    MailWizzSettings,
    ServerTestSettings,
    campaign_way,
    consequences,
    outage_rules,
    probe_addresses,
    read_list,
    run_rules,
)
from domain.server_rules import Consequences, OutageRules, RunRules, Switch
from domain.server_test import StepId

CAMPAIGN = {
    "campaign_list_id": 12,
    "campaign_recipient": "reader@mailbox.test",
    "campaign_bounce_recipient": "nobody@mailbox.test",
    "campaign_template_id": 3,
}


def test_the_defaults_are_those_of_the_rules() -> None:
    """Nothing is set twice."""
    own = ServerTestSettings()
    assert run_rules(own) == RunRules()
    assert consequences(own) == Consequences()
    assert outage_rules(own) == OutageRules()
    assert (campaign_way(own), probe_addresses(MailSettings())) == (None, None)


def test_what_is_set_arrives_in_the_rules() -> None:
    """Seconds become milliseconds, words become steps."""
    own = ServerTestSettings(
        patience_s=60, arrival_limit_s=120, advisory_fails="T9, T11", deactivate="dry", promote_to_group=2, **CAMPAIGN
    )
    rules = run_rules(own)
    assert (rules.patience_ms, rules.arrival_ms) == (60_000, 120_000)
    assert rules.advisory_fails == {StepId.DKIM, StepId.DMARC}
    assert (consequences(own).deactivate, consequences(own).promote_to) == (Switch.DRY, 2)
    way = campaign_way(own)
    assert way is not None
    assert (way.addresses.list_id, way.addresses.bounce, way.by_table) == (12, "nobody@mailbox.test", True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"advisory_fails": "T3"},
        {"advisory_fails": "everything"},
        {"deactivate": "maybe"},
        {"breaker_servers": 1},
        {"breaker_share": 0},
        {"max_in_flight": 0},
        {"campaign_list_id": 12},
        {**CAMPAIGN, "campaign_template_id": None},
        {**CAMPAIGN, "campaign_recipient": "nobody"},
    ],
)
def test_settings_that_nobody_can_mean_are_refused(wrong: dict[str, Any]) -> None:
    """Each with its path."""
    with pytest.raises(ValidationError):
        ServerTestSettings(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"probe_address": "probe"},
        {"probe_address": "probe@mailbox.test", "allowed_recipients": "@other.test"},
        {"refusing_address": "nobody@else.test", "allowed_recipients": "@mailbox.test"},
        {"allowed_recipients": "mailbox.test"},
        {"imap_tls": "sometimes"},
        {"control_port": 0},
    ],
)
def test_mails_go_nowhere_but_where_they_may(wrong: dict[str, Any]) -> None:
    """The list of whom tests may send to is held when the settings are read."""
    with pytest.raises(ValidationError):
        MailSettings(**wrong)


@pytest.mark.parametrize("allowed", ["", "@mailbox.test", "@MAILBOX.test, probe@x.test", "probe@mailbox.test"])
def test_mails_go_where_they_may(allowed: str) -> None:
    """By address or domain, in any case; the envelope's sender is the probe's address unless another is set."""
    own = MailSettings(probe_address="probe@mailbox.test", allowed_recipients=allowed)
    addresses = probe_addresses(own)
    assert addresses is not None
    assert addresses.envelope_from == "probe@mailbox.test"


@pytest.mark.parametrize(
    "wrong",
    [
        {"history_table": "tests; DROP TABLE x"},
        {"table_prefix": "mw-"},
        {"procedure": "a.b.c"},
        {"time_zone": "Europe/Amsterdam"},
        {"database_url": "mysql://user:word@db.test/mailwizz"},
        {"database_url": "http://db.test"},
    ],
)
def test_names_that_stand_in_sql_are_names(wrong: dict[str, Any]) -> None:
    """And a url has no password in it."""
    with pytest.raises(ValidationError):
        MailWizzSettings(**wrong)


def test_a_list_is_what_stands_between_commas() -> None:
    """Unset and empty are nothing."""
    assert (read_list(None), read_list(""), read_list("a, b,,c ")) == ((), (), ("a", "b", "c"))
