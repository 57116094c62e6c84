"""The settings of alerts."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from daemon.settings_values import Seconds, Section, service_url


def _webhook(value: SecretStr) -> SecretStr:
    service_url(value.get_secret_value())
    return value


class SlackSettings(Section):
    """Slack, where operators read alerts."""

    webhook_url: Annotated[SecretStr, AfterValidator(_webhook)] | None = Field(
        None,
        description="Address of an incoming webhook, which is a secret: who has it can post. It names the channel too. "
        "Unset means no alerts.",
    )
    timeout_s: Seconds = Field(5, gt=0, le=30, description="How long one post may take.")
