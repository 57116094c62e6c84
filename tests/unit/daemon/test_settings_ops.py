"""The settings of what operators see: who may look from where."""

import secrets

import pytest
from pydantic import ValidationError

from daemon.settings_ops import OpsSettings, TraceSettings

TOKEN = secrets.token_hex(8)


def test_by_default_nothing_listens_and_nothing_is_sent() -> None:
    """No port, loopback, no token, no collector."""
    own = OpsSettings()
    assert (own.host, own.port, own.viewer_token, TraceSettings().endpoint) == ("127.0.0.1", None, None, None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_needs_no_token(host: str) -> None:
    """Whoever is on it may look."""
    assert OpsSettings(host=host, port=9000).viewer_token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "robotd.test", "localhost.robotd.test", "127.1"])  # noqa: S104  these are refused
def test_others_need_one(host: str) -> None:
    """Any other address is refused without a token, and both settings are named; with one it is taken."""
    with pytest.raises(ValidationError, match="only with a token") as raised:
        OpsSettings(host=host, port=9000)
    assert raised.value.errors()[0]["ctx"]["paths"] == ("ops.host", "ops.viewer_token")
    assert OpsSettings.model_validate({"host": host, "port": 9000, "viewer_token": TOKEN}).port == 9000
    assert OpsSettings(host=host).port is None  # nothing listens


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "x" * 15 + "\n", "ä" * 20])
def test_a_weak_token_is_refused(token: str) -> None:
    """Too short, or with characters that a header can't carry; the error does not repeat it."""
    with pytest.raises(ValidationError, match="16 or more") as raised:
        OpsSettings.model_validate({"viewer_token": token})
    assert not token or token not in str(raised.value).replace("16 or more printable characters", "")
