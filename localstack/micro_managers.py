"""A simulator of Micro Managers: the script steps of each robot, as a status check reads them."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

import yaml
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from daemon.clock import SystemClock
from domain.ports import Clock
from localstack.faults import FaultPlan
from localstack.server import CONTROL, SeenRequest, SimulatorServer, options, refusal, serve_until_signalled

_STEP = "/internal/v5/scripts/robots/{robot_id:[0-9]{1,10}}/scripts/steps/{step_id:[0-9]{1,18}}"
_COMMANDS = ("pass", "fail")


class _Step(BaseModel):
    """One step of a steps file, and of the control API."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)

    robot_id: int
    step_id: int
    template: str
    past_interval: int = 0
    future_interval: int = 0
    next: Annotated[dict[str, int | None], Field(min_length=1)] | None = None


_STEPS: TypeAdapter[list[_Step]] = TypeAdapter(list[_Step])


class MicroManagersSimulator:
    """Micro Managers on a local port."""

    def __init__(
        self, clock: Clock, host: str = "127.0.0.1", port: int = 0, *, faults: FaultPlan | None = None
    ) -> None:
        self.faults = faults or FaultPlan()
        self._steps: dict[tuple[int, int], dict[str, object]] = {}
        routes = [
            web.get(_STEP, self._read_step, name="steps.read"),
            web.post(f"{CONTROL}/steps", self._take_step),
        ]
        self._server = SimulatorServer(routes, clock, self.faults, host, port)

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    @property
    def requests(self) -> Sequence[SeenRequest]:
        """Every HTTP request in the order in which they ended."""
        return self._server.requests

    def add_step(
        self,
        robot_id: int,
        step_id: int,
        template: str,
        past_interval_s: int = 0,
        future_interval_s: int = 0,
        next: Mapping[str, int | None] | None = None,  # noqa: A002  the wire's own word
    ) -> None:
        """Add a status-check step. `next` maps commands to steps; by default pass and fail go to the two ids after."""
        branches = dict(zip(_COMMANDS, (step_id + 1, step_id + 2), strict=True)) if next is None else next
        node = {
            "type": "statusCheck",
            "statusCheck": template,
            "pastInterval": past_interval_s,
            "futureInterval": future_interval_s,
        }
        choices = [_choice(command, next_step_id) for command, next_step_id in branches.items()]
        body = {"node": node, "next": {"type": "multipleChoice", "multipleChoice": choices}}
        self.add_body(robot_id, step_id, {"stepType": "statusCheck", **body})

    def add_body(self, robot_id: int, step_id: int, body: Mapping[str, object]) -> None:
        """Add a step of any shape: what `body` lacks of the outer fields is filled in."""
        self._steps[robot_id, step_id] = {"id": step_id, "scriptVersionId": 5310, "first": False, **body}

    async def _read_step(self, request: web.Request) -> web.Response:
        robot_id, step_id = int(request.match_info["robot_id"]), int(request.match_info["step_id"])
        step = self._steps.get((robot_id, step_id))
        if step is None:  # also another robot's: who asks must not learn that it exists
            return refusal(404, f"step {step_id} not found")
        return web.json_response(step)

    async def _take_step(self, request: web.Request) -> web.Response:
        try:
            self._add(_Step.model_validate_json(await request.read()))
        except ValidationError as error:
            return refusal(400, str(error))
        return web.Response(status=204)

    def add_file(self, steps_file: Path) -> None:
        """Add the steps of a YAML file: a list of robotId, stepId, template, pastInterval, futureInterval, next."""
        for step in _STEPS.validate_python(yaml.safe_load(steps_file.read_text(encoding="utf-8"))):
            self._add(step)

    def _add(self, step: _Step) -> None:
        self.add_step(step.robot_id, step.step_id, step.template, step.past_interval, step.future_interval, step.next)


def _choice(command: str, next_step_id: int | None) -> dict[str, object]:
    is_command = command in _COMMANDS
    return {
        "intentionType": "command" if is_command else "other",
        "primaryCommand": command,
        "commands": [command] if is_command else [],
        "nextStepId": next_step_id,
    }


async def _main(arguments: Sequence[str]) -> None:
    parser = options("micro_managers")
    parser.add_argument("--steps", type=Path, help="a YAML file with steps")
    asked = parser.parse_args(arguments)
    simulator = MicroManagersSimulator(SystemClock(), asked.host, asked.port, faults=FaultPlan(asked.seed))
    if asked.steps is not None:
        simulator.add_file(asked.steps)
    await serve_until_signalled("micro managers", simulator)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
