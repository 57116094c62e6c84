"""The Micro Managers simulator serves script steps over real HTTP."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from localstack.clock import ManualClock
from localstack.faults import Fault, FaultKind
from localstack.micro_managers import MicroManagersSimulator

ROOT = Path(__file__).parents[2]
STEP = "/internal/v5/scripts/robots/61001/scripts/steps/88120"
STEPS_FILE = """
- {robotId: 61001, stepId: 88120, template: TOILET_VISIT, pastInterval: -1, futureInterval: 60}
- {robotId: 61002, stepId: 90, template: TOILET_VISIT, next: {pass: 91, fail: null}}
"""


@pytest.fixture
async def micro_managers() -> AsyncIterator[MicroManagersSimulator]:
    async with MicroManagersSimulator(ManualClock(1764060013_000)) as simulator:
        yield simulator


@pytest.fixture
async def http(micro_managers: MicroManagersSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=micro_managers.url, timeout=5) as client:
        yield client


async def test_a_step_is_served_with_its_branches(
    http: httpx.AsyncClient, micro_managers: MicroManagersSimulator
) -> None:
    """The JSON of a status-check step with all three branches, the last without a next step."""
    branches = {"pass": 88121, "fail": 88122, "unknown": None}
    micro_managers.add_step(61001, 88120, "TOILET_VISIT", 7200, 1800, next=branches)
    answer = await http.get(STEP, headers={"Call-Ref": "call-1"})

    node = {"type": "statusCheck", "statusCheck": "TOILET_VISIT", "pastInterval": 7200, "futureInterval": 1800}
    choices = [
        {"intentionType": "command", "primaryCommand": "pass", "commands": ["pass"], "nextStepId": 88121},
        {"intentionType": "command", "primaryCommand": "fail", "commands": ["fail"], "nextStepId": 88122},
        {"intentionType": "other", "primaryCommand": "unknown", "commands": [], "nextStepId": None},
    ]
    assert answer.status_code == 200
    assert answer.json() == {
        "id": 88120,
        "scriptVersionId": 5310,
        "first": False,
        "stepType": "statusCheck",
        "node": node,
        "next": {"type": "multipleChoice", "multipleChoice": choices},
    }
    assert [(seen.call_ref, seen.status) for seen in micro_managers.requests] == [("call-1", 200)]


async def test_a_foreign_step_looks_like_an_unknown_one(
    http: httpx.AsyncClient, micro_managers: MicroManagersSimulator
) -> None:
    """404 with the same words, so that nobody learns which steps others have."""
    micro_managers.add_step(61002, 88120, "TOILET_VISIT")
    foreign = await http.get(STEP)
    unknown = await http.get(STEP.replace("61001", "61003"))

    assert foreign.status_code == 404
    assert (unknown.status_code, unknown.text) == (foreign.status_code, foreign.text)


async def test_faults_strike_steps_too(http: httpx.AsyncClient, micro_managers: MicroManagersSimulator) -> None:
    """The same plan as Megazord's, on the route of steps."""
    micro_managers.add_step(61001, 88120, "TOILET_VISIT")
    micro_managers.faults.add(Fault(FaultKind.MALFORMED, "steps.read", times=1))
    micro_managers.faults.fail("steps.read", times=1, status=500)
    answers = [await http.get(STEP) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 500, 200]
    assert answers[0].text != answers[2].text


def test_a_steps_file_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    """A typo in a steps file is an error, not a default."""
    steps_file = tmp_path / "steps.yaml"
    steps_file.write_text("- {robotId: 1, stepId: 2, template: X, pastIntervall: 3}")

    with pytest.raises(ValidationError, match="pastIntervall"):
        MicroManagersSimulator(ManualClock(0)).add_file(steps_file)


async def test_alone_it_serves_a_steps_file_until_sigterm(tmp_path: Path) -> None:
    """As a process: ready line, the steps of the file and one added later, exit 0."""
    steps_file = tmp_path / "steps.yaml"
    steps_file.write_text(STEPS_FILE)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "localstack.micro_managers", "--steps", str(steps_file)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            ready = (await process.stdout.readline()).decode()
            async with httpx.AsyncClient(base_url=ready.removeprefix("micro managers simulator on ").strip()) as http:
                added = await http.post("/_robotd/steps", json={"robotId": 61001, "stepId": 5, "template": "IN_BED"})
                refused = await http.post("/_robotd/steps", json={"robotId": 61001, "stepId": "5", "template": "X"})
                steps = [await http.get(STEP), await http.get(STEP.replace("88120", "5"))]
    finally:
        process.send_signal(signal.SIGTERM)
        code = await process.wait()

    assert [added.status_code, refused.status_code] == [204, 400]
    assert [step.json()["node"]["statusCheck"] for step in steps] == ["TOILET_VISIT", "IN_BED"]
    assert steps[0].json()["node"]["pastInterval"] == -1
    assert code == 0
