"""The sections of the configuration. Each setting is described once; messages and docs/configuration.md use that."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from daemon.settings_values import (
    AnyCase,
    Count,
    DatabaseTarget,
    DatabaseUrl,
    ExistingFile,
    Folder,
    QueueName,
    QueueNames,
    RobotPrefix,
    Seconds,
    Section,
    ServiceUrl,
    ZoneName,
    disagree,
    read_database_url,
    read_queue_names,
)


def default_templates() -> Path:
    """The templates of the source checkout, or the ones that were installed with the package."""
    package = Path(__file__).resolve().parent
    beside = package.parent / "templates"
    return beside if beside.is_dir() else package / "_templates"


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
    reply_queues: QueueNames = Field(
        "",
        description="Queues, with commas between them, that a command may name in `replyTo`; empty means none. "
        "They belong to those who read them: `robotd queues ensure` does not create them.",
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

    @model_validator(mode="after")
    def _answers_go_to_nobody_else(self) -> Self:
        own = {self.commands, self.events}
        own |= {f"{name}{self.dead_letter_suffix}" for name in own} | {self.timers_dead_letter}
        robots = self.robot_prefix.rsplit("/", 1)[-1]
        for name in sorted(read_queue_names(self.reply_queues)):
            if name in own or (robots and name.startswith(robots)):
                raise disagree(f"{name} is one of robotd's own queues, or a robot's", "queues.reply_queues")
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
    provider_name: str = Field(
        "azi-3-status-jobs",
        pattern=r"^[ -~]{1,128}$",
        description="Provider under which robotd posts events of its own; Megazord must know it.",
    )
    roll_call_event: str | None = Field(
        "SUBSCRIPTION_ROLL_CALL",
        pattern=r"^[A-Z][A-Z0-9_]{0,63}$",
        description="Event name of robotd's own, by which it finds subscriptions that a crash left open. "
        "Where Megazord doesn't know it, robotd goes on without.",
    )


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
    reload_every_s: Seconds = Field(
        5, ge=0, le=3600, description="How often the folder is looked at for changes; 0: only at start."
    )
    cache_size: Count = Field(256, ge=1, le=100_000, description="Templates that are remembered at one time.")
    cache_s: Seconds = Field(
        30, ge=0, le=3600, description="How long they are remembered: by then a change in the database is seen."
    )


class MonitorSettings(Section):
    """Rolling monitors."""

    file: ExistingFile | None = Field(
        None, description="YAML file of the monitoring rules, the same on every replica; unset means no monitors."
    )
    look_every_s: Seconds = Field(5, ge=0.05, le=3600, description="How often the file is looked at for changes.")


class RetentionSettings(Section):
    """How long traces are kept."""

    inbox_days: Count = Field(
        15, ge=15, le=366, description="Ids of handled messages. SQS may bring a message back for 14 days."
    )
    journal_days: Count = Field(30, ge=1, le=3660, description="What happened to each message.")
    monitor_days: Count = Field(30, ge=1, le=3660, description="Monitoring sessions and the audit of their windows.")
    server_test_days: Count = Field(90, ge=7, le=3660, description="Tests of delivery servers, and their cycles.")


class LogSettings(Section):
    """What the process writes about itself."""

    format: Annotated[Literal["auto", "json", "console"], AnyCase] = Field(
        "auto", description="`auto` means console on a terminal, else JSON, one line for each event."
    )
    level: Annotated[Literal["debug", "info", "warning", "error"], AnyCase] = Field(
        "info", description="The least important level that is written."
    )
