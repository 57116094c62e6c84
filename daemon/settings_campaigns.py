"""The settings of campaigns and of the WhatsApp gateway, and the rules of the domain that they become."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from daemon.settings_values import (
    AnyCase,
    Count,
    CountOrUnset,
    Folder,
    QueueName,
    Seconds,
    SecondsOrUnset,
    Section,
    ServiceUrl,
    ZoneName,
    disagree,
)
from domain.campaign_messages import DAYS, LOCAL_END, LOCAL_TIME, minute_of
from domain.number import NumberRules
from domain.number_breaker import BreakerRules
from domain.opt_out import KEYWORDS
from domain.pace import PaceRules, WarmUpStep
from domain.sending_window import SendingWindow

_DAY_S = 86_400


def read_weekdays(text: str) -> frozenset[int]:
    """`mon, tue` as 1 to 7. Raises ValueError."""
    names = [name.strip().lower() for name in text.split(",")]
    if any(name not in DAYS for name in names):
        raise ValueError(f"expected days with commas between them, out of {', '.join(DAYS)}")
    return frozenset(DAYS.index(name) + 1 for name in names)


def read_dates(text: str | None) -> frozenset[date]:
    """`2026-12-25, 2026-12-26`; unset means none. Raises ValueError."""
    try:
        return frozenset(date.fromisoformat(part.strip()) for part in text.split(",")) if text else frozenset()
    except ValueError:
        raise ValueError("expected dates with commas between them, such as 2026-12-25, 2026-12-26") from None


def read_warm_up(text: str | None) -> tuple[WarmUpStep, ...]:
    """`0:20, 4:50` as steps of age in days and messages a day; unset means none. Raises ValueError."""
    steps = []
    for part in text.split(",") if text else ():
        age, _, cap = (piece.strip() for piece in part.partition(":"))
        if not (_is_number(age) and _is_number(cap)):
            raise ValueError("expected steps of age in days and messages a day, such as 0:20, 4:50, 8:100, 15:200")
        steps.append(WarmUpStep(int(age), int(cap)))
    PaceRules(warm_up=tuple(steps))
    return tuple(steps)


def read_keywords(text: str | None) -> tuple[str, ...]:
    """`halt, no thanks` beside those that always count. Raises ValueError."""
    own = tuple(part.strip() for part in text.split(",")) if text else ()
    if not all(any(sign.isalnum() for sign in keyword) for keyword in own):
        raise ValueError("expected words with commas between them, such as halt, no thanks")
    return (*KEYWORDS, *own)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6  # noqa: PLR2004  more is a mistake, not a cap


def _weekdays(value: str) -> str:
    read_weekdays(value)
    return value


def _dates(value: str | None) -> str | None:
    SendingWindow(excluded=read_dates(value))
    return value


def _warm_up(value: str | None) -> str | None:
    read_warm_up(value)
    return value


def _keywords(value: str | None) -> str | None:
    read_keywords(value)
    return value


Weekdays = Annotated[str, AfterValidator(_weekdays)]
Dates = Annotated[str | None, AfterValidator(_dates)]
WarmUp = Annotated[str | None, AfterValidator(_warm_up)]
Keywords = Annotated[str | None, AfterValidator(_keywords)]


class WahaSettings(Section):
    """WAHA, the WhatsApp gateway."""

    base_url: ServiceUrl | None = Field(None, description="Address of WAHA; unset means that there are no campaigns.")
    api_key: SecretStr | None = Field(
        None, description="Key that WAHA asks for. One that may read and send is enough; take no more."
    )
    events_queue: QueueName | None = Field(
        None, description="Queue onto which a relay puts WAHA's webhooks; unset: WAHA is asked for acknowledgements."
    )
    webhook_key: SecretStr | None = Field(
        None, description="Key with which WAHA signs its webhooks (`hmac.key` there); needed for `waha.events_queue`."
    )
    connect_timeout_s: Seconds = Field(5, gt=0, le=60, description="How long a connection to WAHA may take.")
    timeout_s: Seconds = Field(15, gt=0, le=300, description="How long a question may take that sends nothing.")
    send_timeout_s: Seconds = Field(
        30,
        ge=10,
        le=600,
        description="How long sending a text may take. WAHA itself waits for up to 5 s; a short one makes doubt.",
    )
    media_timeout_s: Seconds = Field(120, ge=10, le=1800, description="How long sending a file may take.")

    @model_validator(mode="after")
    def _events_can_be_believed(self) -> Self:
        if self.events_queue is None:
            return self
        if self.webhook_key is None or not self.webhook_key.get_secret_value():
            raise disagree("events are read only with the key that signs them", "waha.events_queue", "waha.webhook_key")
        if self.base_url is None:
            raise disagree(
                "an event is a nudge to ask WAHA, which has no address", "waha.events_queue", "waha.base_url"
            )
        return self


class CampaignSettings(Section):
    """How fast a WhatsApp number sends, when, and when it stops. All of it holds per number, for all its campaigns."""

    media_folder: Folder | None = Field(None, description="Folder of the files that campaigns may send; unset: none.")
    time_zone: ZoneName = Field("UTC", description="IANA time zone of the sending window and of the caps.")
    window_days: Weekdays = Field(
        "mon,tue,wed,thu,fri,sat,sun", description="Days of the week on which the sending window opens."
    )
    window_start: str = Field("00:00", pattern=LOCAL_TIME, description="When it opens, in quotes.")
    window_end: str = Field(
        "24:00",
        pattern=LOCAL_END,
        description="When it closes, in quotes; at or before `campaigns.window_start`: on the next day.",
    )
    excluded_dates: Dates = Field(
        None, description="Dates on which nothing goes out, such as `2026-12-25, 2026-12-26`; unset means none."
    )
    expires_after_s: SecondsOrUnset = Field(
        None,
        ge=0,
        le=366 * _DAY_S,
        description="A campaign that could start only so long after its time does not start; unset: it does.",
    )
    gap_min_s: Seconds = Field(
        6, ge=0, le=_DAY_S, description="Shortest pause after a message. WAHA advises 30 to 60 s at random."
    )
    gap_max_s: Seconds = Field(
        12, ge=0, le=_DAY_S, description="Longest pause; below `campaigns.gap_min_s` that one counts, with a warning."
    )
    hourly_cap: CountOrUnset = Field(None, ge=1, le=100_000, description="Messages per hour; unset means no cap.")
    daily_cap: CountOrUnset = Field(None, ge=1, le=1_000_000, description="Messages per day; unset means no cap.")
    rest_after: CountOrUnset = Field(
        None, ge=1, le=100_000, description="After so many messages the number rests; unset means never."
    )
    rest_s: Seconds = Field(3600, ge=0, le=7 * _DAY_S, description="How long it rests.")
    warm_up: WarmUp = Field(
        None,
        description="Messages per day by the age of the number in days, such as `0:20, 4:50, 8:100, 15:200` in quotes; "
        "the last one stays in force. Unset means no warm-up.",
    )
    rewarm_after_s: Seconds = Field(
        3 * _DAY_S, ge=_DAY_S, le=366 * _DAY_S, description="A number that was silent for so long warms up anew."
    )
    failures_in_row: Count = Field(5, ge=1, le=1000, description="So many failed sends in a row stop the number.")
    failures_window: Count = Field(20, ge=1, le=1000, description="So many last sends are looked at.")
    failures_share: Seconds = Field(
        0.2, ge=0, le=1, description="More failed ones among them than this share stop the number."
    )
    first_warning_factor: Seconds = Field(
        2, ge=1, le=100, description="By how much gaps grow at WhatsApp's first warning of its cap."
    )
    second_warning_factor: Seconds = Field(4, ge=1, le=100, description="By how much at the second.")
    rate_limited_factor: Seconds = Field(2, ge=1, le=100, description="By how much each time it says: too fast.")
    slowest_factor: Seconds = Field(16, ge=1, le=1000, description="Gaps never grow by more than this.")
    rate_limited_wait_s: Seconds = Field(
        60, ge=0, le=_DAY_S, description="How long a number waits after that, unless it is told how long."
    )
    rate_limits_in_row: Count = Field(5, ge=1, le=100, description="So many times in a row stop the number.")
    heal_after: Count = Field(20, ge=1, le=10_000, description="Sent messages in a row after which gaps shrink again.")
    unreachable_in_row: Count = Field(
        5, ge=1, le=1000, description="WAHA unreachable so many times in a row stops the number."
    )
    unreachable_wait_s: Seconds = Field(5, ge=0, le=3600, description="How long it waits each time before that.")
    suspicion_wait_s: Seconds = Field(
        300, ge=0, le=_DAY_S, description="Pause after WhatsApp refused one contact with 463; a second one is a lock."
    )
    lock_s: Seconds = Field(
        _DAY_S, ge=60, le=366 * _DAY_S, description="How long a locked number is silent when nobody says until when."
    )
    silent_after_s: Seconds = Field(
        1800, ge=60, le=7 * _DAY_S, description="A text older than this should have reached a phone."
    )
    silent_share: Seconds = Field(0.5, ge=0, le=1, description="If fewer of them have, texts are dropped in silence.")
    silent_sample: Count = Field(20, ge=1, le=100_000, description="With fewer such texts nothing is concluded.")
    silent_drops: Annotated[Literal["warn", "pause"], AnyCase] = Field(
        "warn", description="What then: a warning, or a pause."
    )
    opt_out_keywords: Keywords = Field(
        None,
        description="What somebody writes, as a whole message, who wants no more, with commas between; beside `stop`, "
        "`unsubscribe`, `afmelden` and others that always count.",
    )
    ack_poll_s: Seconds = Field(
        300,
        ge=0,
        le=_DAY_S,
        description="How often it is looked how far the texts of a number have come; 0: never.",
    )
    working_hold_s: Seconds = Field(
        60, ge=0, le=_DAY_S, description="How long a session must work before a campaign goes on by itself."
    )
    ramp_sends: Count = Field(10, ge=0, le=10_000, description="So many messages after a pause go out slowly.")
    ramp_factor: Seconds = Field(3, ge=1, le=100, description="By how much their gaps grow.")
    doubt_grace_s: Seconds = Field(
        120,
        ge=0,
        le=_DAY_S,
        description="A send that a crash has interrupted is looked up at once and again after this long. Only then is "
        "a chat that reaches back and lacks it taken for a proof that it was not sent.",
    )
    progress_every_s: Seconds = Field(
        300, ge=0, le=_DAY_S, description="How often a running campaign tells how far it is; 0: never."
    )
    max_in_flight: Count = Field(
        50, ge=1, le=1000, description="Sends and other waits for WAHA at one time; status checks have their own slots."
    )

    @model_validator(mode="after")
    def _factors_fit(self) -> Self:
        for name in ("first_warning_factor", "second_warning_factor", "rate_limited_factor", "ramp_factor"):
            if getattr(self, name) > self.slowest_factor:
                raise disagree(
                    "gaps can't grow by more than slowest_factor", f"campaigns.{name}", "campaigns.slowest_factor"
                )
        return self


def pace_rules(settings: CampaignSettings) -> PaceRules:
    """How fast a number may send."""
    return PaceRules(
        gap_min_ms=_ms(settings.gap_min_s),
        gap_max_ms=_ms(settings.gap_max_s),
        zone=settings.time_zone,
        hourly_cap=settings.hourly_cap,
        daily_cap=settings.daily_cap,
        rest_after=settings.rest_after,
        rest_ms=_ms(settings.rest_s),
        warm_up=read_warm_up(settings.warm_up),
        rewarm_after_ms=_ms(settings.rewarm_after_s),
    )


def sending_window(settings: CampaignSettings) -> SendingWindow:
    """When messages go out of a campaign that brings no window of its own."""
    return SendingWindow(
        zone=settings.time_zone,
        weekdays=read_weekdays(settings.window_days),
        start_minute=minute_of(settings.window_start),
        end_minute=minute_of(settings.window_end),
        excluded=read_dates(settings.excluded_dates),
    )


def breaker_rules(settings: CampaignSettings) -> BreakerRules:
    """When a number must slow down or stop."""
    return BreakerRules(
        failures_in_row=settings.failures_in_row,
        failures_window=settings.failures_window,
        failures_share=settings.failures_share,
        first_warning_factor=settings.first_warning_factor,
        second_warning_factor=settings.second_warning_factor,
        rate_limited_factor=settings.rate_limited_factor,
        slowest_factor=settings.slowest_factor,
        rate_limited_wait_ms=_ms(settings.rate_limited_wait_s),
        rate_limits_in_row=settings.rate_limits_in_row,
        heal_after=settings.heal_after,
        unreachable_in_row=settings.unreachable_in_row,
        unreachable_wait_ms=_ms(settings.unreachable_wait_s),
        suspicion_wait_ms=_ms(settings.suspicion_wait_s),
        lock_ms=_ms(settings.lock_s),
        silent_after_ms=_ms(settings.silent_after_s),
        silent_share=settings.silent_share,
        silent_sample=settings.silent_sample,
        silence_stops=settings.silent_drops == "pause",
        working_hold_ms=_ms(settings.working_hold_s),
        ramp_sends=settings.ramp_sends,
        ramp_factor=settings.ramp_factor,
    )


def number_rules(settings: CampaignSettings) -> NumberRules:
    """All that holds for every number."""
    return NumberRules(pace_rules(settings), sending_window(settings), breaker_rules(settings))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
