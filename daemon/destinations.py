"""The queues of results as labels and span names: the many queues of robots count as one."""

from collections.abc import Callable
from functools import partial

OTHER = "other"


def any_queue(_destination: str) -> str:
    """All queues as one."""
    return OTHER


def template_of(robot_prefix: str, reply_queues: frozenset[str], destination: str) -> str:
    """`robot-queue-{robotId}` for every robot's queue, the name of a reply queue that is allowed, else `other`."""
    if destination in reply_queues:
        return destination
    if destination.startswith(robot_prefix):
        return f"{robot_prefix.rsplit('/', 1)[-1]}{{robotId}}"
    return OTHER


def templates(robot_prefix: str, reply_queues: frozenset[str]) -> Callable[[str], str]:
    """The same, for one configuration."""
    return partial(template_of, robot_prefix, reply_queues)
