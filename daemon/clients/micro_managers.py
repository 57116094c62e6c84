"""Micro Managers over HTTP, as the domain's `MicroManagers`: script steps, cut down to what a status check needs."""

from collections.abc import Callable
from typing import Annotated

import httpx
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from daemon.clients.http import Request, Upstream, broken_contract, call, read_answer, unheard
from daemon.probe import Probe, unobserved
from domain.errors import RuleViolation
from domain.status_check import Branch, ScriptStep, Verdict
from domain.wire import RowId

INTERVAL_UNITS_PER_S = 1  # intervals are seconds on the wire; the only place to change if they are not
EVER = -1

_COMMANDS = {"pass": Verdict.PASS, "fail": Verdict.FAIL, "unknown": Verdict.UNKNOWN}
_REQUIRED = ("pass", "fail")


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)


class _AnyNode(_Answer):
    type: str


class _AnyStep(_Answer):
    id: RowId
    node: _AnyNode


class _Node(_Answer):
    status_check: Annotated[str, Field(strict=True, min_length=1, max_length=256)]
    past_interval: Annotated[int, Field(strict=True, ge=EVER, le=2**31 - 1)] = 0
    future_interval: Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)] = 0


class _Choice(_Answer):
    next_step_id: RowId | None  # null: the script ends there; no such key at all: broken
    primary_command: str | None = None
    commands: tuple[str, ...] = ()


class _Next(_Answer):
    multiple_choice: tuple[_Choice, ...] = ()


class _StatusCheckStep(_Answer):
    node: _Node
    next: _Next


_ANY_STEP = TypeAdapter(_AnyStep)
_STATUS_CHECK_STEP = TypeAdapter(_StatusCheckStep)


class HttpMicroManagers:
    """Asks for steps; never caches one, because scripts change under us."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        *,
        timeout_s: float = 5.0,
        probe: Probe = unobserved,
        heard: Callable[[str], None] = unheard,
    ) -> None:
        self._upstream = Upstream("micro-managers", http, base_url, timeout_s, probe=probe, heard=heard)

    async def script_step(self, robot_id: int, step_id: int, call_ref: str | None) -> ScriptStep:
        """The step as a status check needs it. RuleViolation if it is not this robot's or not a status check."""
        path = f"/internal/v5/scripts/robots/{robot_id}/scripts/steps/{step_id}"
        request = Request("GET", path, f"read step {step_id} of robot {robot_id}", call_ref)
        answer = await call(self._upstream, request)
        kind = read_answer(self._upstream, request, answer, _ANY_STEP)
        if kind.id != step_id:
            raise broken_contract(self._upstream, request, f"id: this is step {kind.id}")
        if kind.node.type != "statusCheck":
            raise RuleViolation(
                f"step {step_id} of robot {robot_id} is of type {kind.node.type[:40]}, not statusCheck",
                kind="not-a-status-check",
            )
        step = read_answer(self._upstream, request, answer, _STATUS_CHECK_STEP)
        return ScriptStep(
            step_id=step_id,
            template_name=step.node.status_check,
            past_interval_s=_seconds(step.node.past_interval),
            future_interval_s=_seconds(step.node.future_interval),
            branches=_branches(step_id, step.next.multiple_choice),
        )


def _seconds(interval: int) -> int:
    return interval if interval == EVER else interval // INTERVAL_UNITS_PER_S


def _branches(step_id: int, choices: tuple[_Choice, ...]) -> dict[Verdict, Branch]:
    by_command: dict[str, Branch] = {}
    for choice in choices:
        for command in (choice.primary_command, *choice.commands):
            if command in _COMMANDS:
                by_command.setdefault(command, Branch(choice.next_step_id))
    missing = [command for command in _REQUIRED if command not in by_command]
    if missing:
        raise RuleViolation(f"step {step_id} has no branch for {' and '.join(missing)}", kind="missing-branch")
    return {_COMMANDS[command]: branch for command, branch in by_command.items()}
