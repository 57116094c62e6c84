"""Named points between the steps of a message's path, for tests that crash there or wait there.

Production passes no probe, and nothing reads one from the environment or the settings: the only way to arm a point is
to build the daemon with another probe, which is what the tests do in a process of their own.
"""

from collections.abc import Awaitable, Callable

Probe = Callable[[str], Awaitable[None]]

POINTS = (
    "after_receive",  # deliveries are here, nothing has looked at them
    "after_read",  # the envelope is understood
    "after_seen",  # the inbox doesn't know the message
    "before_upstream",  # a neighbour is about to be asked
    "after_upstream",  # the neighbour has answered
    "after_commit_now",  # the trace of a side effect is committed ahead of the message
    "after_handle",  # the handler is done, nothing is committed
    "before_commit",
    "after_commit",
    "relay_before_send",
    "relay_after_send",
    "relay_after_delete",
    "before_dead_letter",
    "after_dead_letter",
    "before_settle",
    "after_settle",
    "after_claim",  # timers are claimed, nothing has looked at them
)


async def unobserved(_point: str) -> None:
    """Production's probe: nothing."""
