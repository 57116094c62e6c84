"""What the command line gets of a check that is in the database."""

from dataclasses import dataclass

from domain.status_check import StatusCheck
from domain.template import Template
from domain.wire import JsonObject


@dataclass(frozen=True, slots=True)
class StoredCheck:
    """A check as the database has it, with its traces, oldest first; `template` None: that version is gone."""

    check: StatusCheck
    decisions: list[JsonObject]
    template: Template | None
