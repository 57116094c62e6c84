"""Every message of the contract in one order, and the version of the whole."""

from collections.abc import Iterator

from daemon.contracts.compatibility import Direction, Released
from daemon.contracts.schemas import EVENTS, NAMES_OF_RESULTS, schema_of
from domain.messages import COMMANDS

VERSION = 1
"""Raised by whoever breaks the contract on purpose; see `compatibility` for what breaks it."""


def names() -> Iterator[str]:
    """Commands, events, results. The name of a message is its type; `.result` behind it where a command has it, too."""
    yield from (*COMMANDS, *EVENTS, *NAMES_OF_RESULTS)


def direction_of(name: str) -> Direction:
    """Whether robotd reads or sends it."""
    return "sent" if name in NAMES_OF_RESULTS else "read"


def contract() -> dict[str, Released]:
    """The contract as the models make it today."""
    return {name: Released(direction_of(name), schema_of(name)) for name in names()}
