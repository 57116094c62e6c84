"""The configuration of a robotd process: one frozen tree with its bounds. Nothing else reads the environment.

Each setting is described here once; the messages for the operator, `robotd check-config` and docs/configuration.md are
made from it. Where values come from, and how a wrong one is told, is in `daemon.settings_sources`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from daemon.settings_sources import Origin, checked, dotted, gather, leaves
from daemon.settings_values import (
    AnyCase,
    Count,
    DatabaseTarget,
    DatabaseUrl,
    Folder,
    QueueName,
    RobotPrefix,
    Seconds,
    ServiceUrl,
    ZoneName,
    disagree,
    read_database_url,
)


def default_templates() -> Path:
    """The templates of the source checkout, or the ones that were installed with the package."""
    package = Path(__file__).resolve().parent
    beside = package.parent / "templates"
    return beside if beside.is_dir() else package / "_templates"


class Section(BaseModel):
    """What all sections share: frozen, nothing unknown, and no value in an error that pydantic writes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class AwsSettings(Section):
    """How SQS is reached."""

    region: str = Field("eu-central-1", pattern=r"^[a-z]{2}(-[a-z]+){1,2}-\d{1,2}$", description="AWS region.")
    endpoint_url: ServiceUrl | None = Field(
        None, description="SQS endpoint of an emulator; unset means the one of AWS in the region."
    )
    access_key_id: SecretStr | None = Field(
        None, description="Key of the account; unset means the usual chain of AWS (role, profile, AWS_ variables)."
    )
    secret_access_key: SecretStr | None = Field(None, description="Secret that belongs to `aws.access_key_id`.")
    connect_timeout_s: Seconds = Field(3, gt=0, le=60, description="How long a connection to SQS may take.")

    @model_validator(mode="after")
    def _key_has_its_secret(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise disagree(
                "a key and its secret are set together or not at all", "aws.access_key_id", "aws.secret_access_key"
            )
        return self


class QueueSettings(Section):
    """The queues by name."""

    commands: QueueName = Field("robotd-commands", description="Queue of the commands.")
    events: QueueName = Field(
        "status-queue-robotd",
        description="Queue to which Megazord sends its events; ends with `-` and `megazord.queue_suffix`.",
    )
    dead_letter_suffix: str = Field(
        "-dlq", pattern=r"^[A-Za-z0-9_-]{1,40}$", description="A queue's name plus this is its dead-letter queue."
    )
    timers_dead_letter: QueueName = Field("robotd-timers-dlq", description="Dead-letter queue of the timers.")
    robot_prefix: RobotPrefix = Field(
        "robot-queue-",
        description="A robot's queue is this plus the robot's id: the beginning of a name, or of a URL (with `://`).",
    )
    create_robot_queues: bool = Field(
        False, description="Create a robot's queue when it is missing. Not in production."
    )
    max_receive_count: Count = Field(
        1000,
        ge=1,
        le=1000,
        description="Receives after which SQS itself dead-letters a message: a backstop above `consumer.max_attempts`.",
    )

    @model_validator(mode="after")
    def _each_queue_is_its_own(self) -> Self:
        longest = max(self.commands, self.events, key=len)
        if len(longest + self.dead_letter_suffix) > 80:  # noqa: PLR2004  the limit of SQS
            raise disagree(
                "a queue's name with its suffix has at most 80 characters",
                f"queues.{'commands' if longest == self.commands else 'events'}",
                "queues.dead_letter_suffix",
            )
        names = {"commands": self.commands, "events": self.events, "timers_dead_letter": self.timers_dead_letter}
        dead = {f"{names[key]}{self.dead_letter_suffix}" for key in ("commands", "events")}
        for key, name in names.items():
            if name in dead or list(names.values()).count(name) > 1:
                raise disagree("two purposes share one queue", f"queues.{key}")
        return self


class ConsumerSettings(Section):
    """Receiving and retrying."""

    wait_s: Count = Field(10, ge=0, le=20, description="How long a long poll waits; SQS allows 20.")
    visibility_timeout_s: Count = Field(
        60,
        ge=10,
        le=43_200,
        description="How long SQS hides a delivery, renewed while it is handled. Above `consumer.wait_s` + 5.",
    )
    max_in_flight: Count = Field(50, ge=1, le=10_000, description="Unsettled deliveries at one time.")
    handler_timeout_s: Seconds = Field(30, ge=1, le=3600, description="How long one message may be handled.")
    max_attempts: Count = Field(8, ge=1, le=999, description="Tries of one message before it is dead-lettered.")
    backoff_first_s: Seconds = Field(
        1, ge=0.1, le=3600, description="Longest wait before the second try; then doubled."
    )
    backoff_cap_s: Seconds = Field(300, ge=1, le=43_200, description="No wait before a try is longer than this.")
    stalled_after_s: Seconds = Field(
        60,
        ge=20,
        le=600,
        description="Without a finished poll for so long, the consumer is stalled. At least `consumer.wait_s` + 15.",
    )

    @model_validator(mode="after")
    def _polls_fit(self) -> Self:
        if self.visibility_timeout_s <= self.wait_s + 5:
            raise disagree(
                "visibility_timeout_s must exceed wait_s by more than 5, or others see a delivery before we read it",
                "consumer.visibility_timeout_s",
                "consumer.wait_s",
            )
        if self.stalled_after_s < self.wait_s + 15:
            raise disagree(
                "stalled_after_s must exceed wait_s by 15 or more, or a quiet queue looks like a stall",
                "consumer.stalled_after_s",
                "consumer.wait_s",
            )
        _growing("consumer.backoff", self.backoff_first_s, self.backoff_cap_s)
        return self


class RelaySettings(Section):
    """Publishing what the outbox holds."""

    workers: Count = Field(8, ge=1, le=64, description="Batches published at one time.")
    sweep_every_s: Seconds = Field(5, ge=0.1, le=60, description="How often leftovers in the outbox are looked for.")
    claim_s: Seconds = Field(30, ge=5, le=600, description="How long a claimed outbox row belongs to one relay.")
    missing_queue_backoff_first_s: Seconds = Field(
        5, ge=0.1, le=3600, description="First wait for a robot whose queue is missing; then doubled."
    )
    missing_queue_backoff_cap_s: Seconds = Field(
        300, ge=1, le=86_400, description="Longest wait for a robot whose queue is missing."
    )

    @model_validator(mode="after")
    def _backoff_grows(self) -> Self:
        _growing("relay.missing_queue_backoff", self.missing_queue_backoff_first_s, self.missing_queue_backoff_cap_s)
        return self


def _growing(name: str, first_s: float, cap_s: float) -> None:
    if first_s > cap_s:
        raise disagree("the first wait is longer than the cap", f"{name}_first_s", f"{name}_cap_s")


class TimerSettings(Section):
    """Firing what is due."""

    poll_every_s: Seconds = Field(1, ge=0.05, le=60, description="How often due timers are looked for.")
    batch: Count = Field(50, ge=1, le=1000, description="Timers claimed at one time.")
    lease_s: Seconds = Field(30, ge=5, le=3600, description="How long a claimed timer belongs to one process.")


class DatabaseSettings(Section):
    """Where state is kept."""

    url: DatabaseUrl = Field(
        "sqlite:///robotd.db",
        description="`sqlite:///FILE` (four slashes for an absolute path) or `mysql://USER@HOST:3306/NAME`, "
        "with `?unix_socket=PATH` where needed. Never with the password in it.",
    )
    password: SecretStr | None = Field(None, description="Password of the database user.")
    pool_size: Count = Field(10, ge=1, le=200, description="Connections to MySQL at most.")
    connect_timeout_s: Seconds = Field(
        3, gt=0, le=60, description="How long a connection may take, handshake included."
    )
    statement_timeout_s: Seconds = Field(10, ge=1, le=300, description="How long one statement may take.")

    @property
    def target(self) -> DatabaseTarget:
        """The url, taken apart."""
        return read_database_url(self.url)


class MegazordSettings(Section):
    """Megazord, which keeps events and subscriptions."""

    base_url: ServiceUrl = Field("http://localhost:8081", description="Address of Megazord.")
    queue_suffix: str = Field(
        "robotd",
        pattern=r"^[A-Za-z0-9_-]{1,40}$",
        description="What Megazord appends to the name of its status queue for subscriptions of ours.",
    )
    timeout_s: Seconds = Field(5, gt=0, le=60, description="How long one request may take.")


class MicroManagersSettings(Section):
    """Micro Managers, which keeps scripts and their steps."""

    base_url: ServiceUrl = Field("http://localhost:8082", description="Address of Micro Managers.")
    timeout_s: Seconds = Field(5, gt=0, le=60, description="How long one request may take.")


class TemplateSettings(Section):
    """Status-check templates."""

    folder: Folder = Field(
        default_factory=default_templates, description="Folder of the templates; unset means those shipped with robotd."
    )
    time_zone: ZoneName = Field("UTC", description="IANA time zone for the clock times in templates that name none.")


class RetentionSettings(Section):
    """How long traces are kept."""

    inbox_days: Count = Field(
        15, ge=15, le=366, description="Ids of handled messages. SQS may bring a message back for 14 days."
    )
    journal_days: Count = Field(30, ge=1, le=3660, description="What happened to each message.")


class LogSettings(Section):
    """What the process writes about itself."""

    format: Annotated[Literal["auto", "json", "console"], AnyCase] = Field(
        "auto", description="`auto` means console on a terminal, else JSON, one line for each event."
    )
    level: Annotated[Literal["debug", "info", "warning", "error"], AnyCase] = Field(
        "info", description="The least important level that is written."
    )


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
    templates: TemplateSettings = Field(default_factory=TemplateSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
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
        return self


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
