"""Every metric of robotd, described once: the registry, the page for people and the tests are made from this list.

No label ever holds an id, a number, an address or a text: whoever adds one keeps its values few and known.
"""

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "robotd_"


class Kind(StrEnum):
    """What Prometheus calls them. A gauge is read when it is asked for: LIVE from memory, SAMPLED from elsewhere."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    LIVE = "gauge"
    SAMPLED = "gauge, sampled"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name` is without the prefix, and without the `_total` that a counter gets."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str

    @property
    def full_name(self) -> str:
        """As it is scraped; of a histogram the part before `_bucket`, `_sum` and `_count`."""
        return f"{PREFIX}{self.name}{'_total' if self.kind is Kind.COUNTER else ''}"


_QUEUE = ("queue",)
RECEIVED = Metric("messages_received", Kind.COUNTER, _QUEUE, "Messages, timers and requests that were taken up.")
PROCESSED = Metric(
    "messages_processed",
    Kind.COUNTER,
    ("queue", "type", "outcome"),
    "How they ended: done, duplicate, retried, rejected, or unsettled where the queue could not be told.",
)
PROCESS_S = Metric(
    "process_seconds", Kind.HISTOGRAM, ("queue", "type"), "From the start of a delivery's task to its settlement."
)
QUEUE_TIME_S = Metric(
    "queue_time_seconds",
    Kind.HISTOGRAM,
    _QUEUE,
    "How long the oldest of each batch had waited: since it was sent, or since the timer was due.",
)
SQS_REQUEST_S = Metric(
    "sqs_request_seconds", Kind.HISTOGRAM, ("op", "outcome"), "Calls of SQS, long polls included; ok or error."
)
SENT = Metric(
    "messages_sent",
    Kind.COUNTER,
    ("destination", "type", "outcome"),
    "Results, by the template of their queue: sent, or failed and parked.",
)
EXTENSIONS = Metric("visibility_extensions", Kind.COUNTER, _QUEUE, "Visibility timeouts and leases that were extended.")
LEASE_LOST = Metric("lease_lost", Kind.COUNTER, _QUEUE, "Deliveries that somebody else has got while we held them.")
DEAD_LETTERS = Metric("dead_letters", Kind.COUNTER, ("queue", "kind"), "Deliveries that were rejected, by errorKind.")
CAMPAIGN_MESSAGES = Metric(
    "campaign_messages", Kind.COUNTER, ("outcome",), "What became of recipients, counted when it was committed."
)
SERVER_TESTS = Metric("server_tests", Kind.COUNTER, ("verdict",), "Tests of delivery servers that have ended.")
DEACTIVATED = Metric("servers_deactivated", Kind.COUNTER, (), "Delivery servers that were switched off.")
LOOP_LAG_S = Metric("loop_lag_seconds", Kind.HISTOGRAM, (), "How late the event loop woke, looked at once a second.")

IN_FLIGHT = Metric("in_flight", Kind.LIVE, _QUEUE, "Deliveries that are not settled yet.")
LIMIT = Metric("concurrency_limit", Kind.LIVE, _QUEUE, "How many may be in flight.")
PAUSED = Metric("paused", Kind.LIVE, _QUEUE, "1 while nothing is taken up: the database is lost, or robotd stops.")
LAST_RECEIVE = Metric(
    "last_receive_success_timestamp_seconds", Kind.LIVE, _QUEUE, "When a poll last came back, empty ones included."
)
DEPENDENCY_UP = Metric(
    "dependency_up", Kind.LIVE, ("name",), "0 while it is lost; a neighbour until it is asked again."
)
READY = Metric("ready", Kind.LIVE, (), "1 where /readyz would say yes.")
BUILD = Metric("build_info", Kind.LIVE, ("version", "python"), "Always 1.")

QUEUE_MESSAGES = Metric(
    "queue_messages", Kind.SAMPLED, ("queue", "state"), "SQS's approximate counts, of dead-letter queues too."
)
OUTBOX_PENDING = Metric("outbox_pending", Kind.SAMPLED, (), "Results that are committed and not sent; 10,000 at most.")
OUTBOX_OLDEST_S = Metric("outbox_oldest_seconds", Kind.SAMPLED, (), "Age of the oldest of them.")
TIMERS_DUE = Metric("timers_due", Kind.SAMPLED, (), "Timers that are due and that nobody handles; 10,000 at most.")
TIMERS_LATE = Metric("timers_late", Kind.SAMPLED, (), "Those of them that are due for more than five seconds.")
TIMERS_OLDEST_S = Metric("timers_oldest_seconds", Kind.SAMPLED, (), "For how long the first of them is due.")
LEASES_EXPIRED = Metric(
    "leases_expired", Kind.SAMPLED, ("of",), "Claims on timers and outbox rows that ran out, and nobody took over yet."
)
CAMPAIGNS = Metric("campaigns", Kind.SAMPLED, ("status",), "Campaigns by status.")
CAMPAIGNS_PAUSED = Metric("campaigns_paused", Kind.SAMPLED, ("reason",), "Paused campaigns by their reason.")
PAUSED_OLDEST_S = Metric(
    "campaign_paused_oldest_seconds", Kind.SAMPLED, ("reason",), "For how long the first of them is paused."
)
UNKNOWN_SENDS = Metric(
    "unknown_sends", Kind.SAMPLED, (), "Recipients of whom nobody can tell, of the newest 1,000 campaigns."
)
NUMBERS_STOPPED = Metric(
    "numbers_stopped", Kind.SAMPLED, ("reason",), "WhatsApp numbers that their breaker has stopped."
)
SERVER_TESTS_OPEN = Metric("server_tests_open", Kind.SAMPLED, ("phase",), "Tests of delivery servers under way.")
CYCLE_ENDED = Metric(
    "server_cycle_last_end_timestamp_seconds", Kind.SAMPLED, (), "When the last cycle of server tests was over."
)
CYCLE_S = Metric("server_cycle_seconds", Kind.SAMPLED, (), "How long the last cycle of server tests took.")
SAMPLE_UP = Metric(
    "sample_up",
    Kind.SAMPLED,
    ("source",),
    "1 where the sampled gauges of database or sqs are there, 0 where they are left out.",
)

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))


def page() -> str:
    """The table of docs/operations.md."""
    lines = ["| metric | kind | labels | what it says |", "|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.full_name}` | {metric.kind.value} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"
