"""The configuration of a robotd process: one frozen tree with its bounds. Nothing else reads the environment.

Each setting is described once, in `daemon.settings_sections`. Where values come from, and how a wrong one is told, is
in `daemon.settings_sources`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from daemon.settings_alerts import SlackSettings
from daemon.settings_campaigns import CampaignSettings, WahaSettings
from daemon.settings_edge import EdgeSettings
from daemon.settings_ops import OpsSettings, TraceSettings
from daemon.settings_sections import (
    AwsSettings,
    ConsumerSettings,
    DatabaseSettings,
    LogSettings,
    MegazordSettings,
    MicroManagersSettings,
    MonitorSettings,
    QueueSettings,
    RelaySettings,
    RetentionSettings,
    TemplateSettings,
    TimerSettings,
)
from daemon.settings_servers import MailSettings, MailWizzSettings, ServerTestSettings
from daemon.settings_sources import Origin, checked, dotted, gather, leaves
from daemon.settings_values import Seconds, disagree


class Settings(BaseSettings):
    """The whole tree. Made by `load_settings`; built by hand (in tests) it takes nothing from outside."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    service_name: str = Field(
        "robotd", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="How results and log lines name this service."
    )
    environment: Literal["production", "staging", "development"] = Field(
        "production", description="Where this runs. The strictest is the default: to forget it can do no harm."
    )
    drain_timeout_s: Seconds = Field(
        25,
        ge=1,
        le=900,
        description="How long a stop may take: `consumer.wait_s` + 5 or more, and below the container's grace period.",
    )
    aws: AwsSettings = Field(default_factory=AwsSettings)
    queues: QueueSettings = Field(default_factory=QueueSettings)
    consumer: ConsumerSettings = Field(default_factory=ConsumerSettings)
    relay: RelaySettings = Field(default_factory=RelaySettings)
    timers: TimerSettings = Field(default_factory=TimerSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    megazord: MegazordSettings = Field(default_factory=MegazordSettings)
    micro_managers: MicroManagersSettings = Field(default_factory=MicroManagersSettings)
    edge: EdgeSettings = Field(default_factory=EdgeSettings)
    templates: TemplateSettings = Field(default_factory=TemplateSettings)
    monitors: MonitorSettings = Field(default_factory=MonitorSettings)
    waha: WahaSettings = Field(default_factory=WahaSettings)
    campaigns: CampaignSettings = Field(default_factory=CampaignSettings)
    mailwizz: MailWizzSettings = Field(default_factory=MailWizzSettings)
    server_tests: ServerTestSettings = Field(default_factory=ServerTestSettings)
    mail: MailSettings = Field(default_factory=MailSettings)
    slack: SlackSettings = Field(default_factory=SlackSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    ops: OpsSettings = Field(default_factory=OpsSettings)
    traces: TraceSettings = Field(default_factory=TraceSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: the library's own sources skip unknown variables and forget where a value stood."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.drain_timeout_s < self.consumer.wait_s + 5:
            raise disagree(
                "drain_timeout_s must exceed consumer.wait_s by 5 or more: a long poll is never cut off, "
                "and what the last one brings has to be handed back",
                "drain_timeout_s",
                "consumer.wait_s",
            )
        if self.queues.max_receive_count <= self.consumer.max_attempts:
            raise disagree(
                "max_receive_count must exceed max_attempts, or SQS dead-letters a message before robotd can say why",
                "queues.max_receive_count",
                "consumer.max_attempts",
            )
        if not self.queues.events.endswith(f"-{self.megazord.queue_suffix}"):
            raise disagree(
                "the events queue must end with - and the suffix, or Megazord sends its events elsewhere",
                "queues.events",
                "megazord.queue_suffix",
            )
        if self.queues.create_robot_queues and self.environment == "production":
            raise disagree(
                "robot queues are not created in production: a wrong robot id must not make a queue",
                "queues.create_robot_queues",
                "environment",
            )
        self._has_queues_of_its_own()
        return self

    def _has_queues_of_its_own(self) -> None:
        queues, own = self.queues, self.waha.events_queue
        if own is None:
            return
        if len(own + queues.dead_letter_suffix) > 80:  # noqa: PLR2004  the limit of SQS
            raise disagree(
                "a queue's name with its suffix has at most 80 characters",
                "waha.events_queue",
                "queues.dead_letter_suffix",
            )
        names = [queues.commands, queues.events]
        dead = [f"{name}{queues.dead_letter_suffix}" for name in (*names, own)]
        if own in (*names, *dead, queues.timers_dead_letter) or not {*names, queues.timers_dead_letter}.isdisjoint(
            dead[2:]
        ):
            raise disagree("two purposes share one queue", "waha.events_queue")


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings, and for each of them by its dotted path where its value came from."""

    settings: Settings
    origins: Mapping[str, Origin]


def load_settings(config_file: Path | None = None, environ: Mapping[str, str] = os.environ) -> LoadedSettings:
    """Read, merge and check all sources. Raises SettingsError, a ConfigError that tells every problem at once.

    `config_file` None means the one that ROBOTD_CONFIG names, else ./robotd.yaml if there is one.
    """
    fields = leaves(Settings)
    found, problems = gather(config_file, environ, fields)
    settings = checked(Settings, found, problems)
    default = Origin("default", "default")
    origins = {dotted(path): found[path].origin if path in found else default for path in fields}
    return LoadedSettings(settings, origins)
