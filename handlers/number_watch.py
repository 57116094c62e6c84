"""The timer that watches how far the texts of a number come; whoever starts a campaign plans it."""

from domain.ports import Timer
from domain.whatsapp_events import WatchNumber

ACKS = "number.acks"


def ack_timer(session: str, at_ms: int) -> Timer:
    """The timer that looks at one number. One that stands already has a memory: plan none beside it."""
    return watch_timer(WatchNumber(session=session), at_ms)


def watch_timer(watch: WatchNumber, at_ms: int) -> Timer:
    """The same with what it has to remember."""
    return Timer(ACKS, watch.session, at_ms, watch)
