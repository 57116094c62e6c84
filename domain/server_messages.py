"""What the commands and timers of tests of delivery servers carry."""

from typing import Literal

from pydantic import Field

from domain.command_data import Answered, CommandData, Token
from domain.wire import RowId

Check = Literal["T9", "T10", "T11", "T12", "T13", "T14", "T16"]
Way = Literal["auto", "direct", "campaign"]


class RequestServerTest(Answered):
    """`server.test`: test one delivery server. `checks` are made besides those that every test makes.

    With `dryRun` nothing is written to MailWizz: no history, no change of its status.
    """

    server_id: RowId
    path: Way = "auto"
    checks: tuple[Check, ...] = Field(default=(), max_length=7)
    dry_run: bool = Field(default=False, strict=True)


class RequestServerCycle(Answered):
    """`server.test-cycle`: test every server that needs it, or with `force` every one that MailWizz sends through."""

    force: bool = Field(default=False, strict=True)
    dry_run: bool = Field(default=False, strict=True)


class StepServerRun(CommandData):
    """Timer `server-test.step`: the next step of one test may be due."""

    run_id: Token


class StartServerCycle(CommandData):
    """Timer `server-test.cycle`: it is time for the next cycle."""


class LookAtServerCycle(CommandData):
    """Timer `server-cycle.look`: one of the tests of a cycle has come so far that the cycle may go on."""

    cycle_id: Token
