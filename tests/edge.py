"""A robot's HTTP client as it is seen behind Kong, for the tests of the HTTP edge."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from daemon.lifecycle import Daemon
from daemon.store.mysql import MysqlAddress
from domain.wire import iso
from tests.world import MORNING_MS, World, world

ROBOT, OTHER_ROBOT, STEP = 61001, 61002, 88120
CHECKS = "/v1/status-check/check"
CALLS_IT = "a-reference-of-the-robot"


def kong(robot_id: object = ROBOT, **changes: str | None) -> dict[str, str]:
    """The headers that Kong sets for a robot; `x_consumer_id=None` leaves one out."""
    headers: dict[str, str | None] = {
        "x-consumer-id": "0d6a5b6e-93b1-4a4f-9c3e-3a1f6f0f5a11",
        "x-consumer-username": "tinybots-robots",
        "x-authenticated-scope": "robot",
        "x-authenticated-userid": str(robot_id),
        "Call-Ref": CALLS_IT,
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in headers.items() if value is not None}


def wanted(**changes: object) -> dict[str, object]:
    """The body of a request to create a check."""
    body = {"stepId": STEP, "scheduledId": 77001, "scriptVersionId": 5310, "plannedAt": iso(MORNING_MS)}
    return {**body, **changes}


def error(status: int, name: str, message: str) -> dict[str, object]:
    """The whole body of an error for a caller with our reference."""
    return {"statusCode": status, "error": name, "message": message, "callRef": CALLS_IT}


@asynccontextmanager
async def house(
    database: Path | MysqlAddress,
    *,
    edge: Mapping[str, Any] | None = None,
    consumer: Mapping[str, Any] | None = None,
    micro_managers: Mapping[str, Any] | None = None,
) -> AsyncIterator[World]:
    """A world whose daemon listens on any free port, with one step for our robot."""
    async with world(
        database,
        edge={"port": 0, **(edge or {})},
        consumer=consumer or {},
        micro_managers=micro_managers or {},
        megazord={"timeout_s": 1},
    ) as opened:
        opened.managers.add_step(ROBOT, STEP, "TOILET_VISIT", past_interval_s=7200, future_interval_s=1800)
        yield opened


def address_in(answer: httpx.Response) -> dict[str, str]:
    """The headers of an answer that the edge itself sets."""
    names = ("Call-Ref", "Svc-Ref", "Retry-After", "Allow", "Content-Type")
    return {name: answer.headers[name] for name in names if name in answer.headers}


@asynccontextmanager
async def asking(daemon: Daemon, headers: Mapping[str, str] | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a daemon's edge that sends Kong's headers with each request."""
    edge = daemon.edge
    assert edge is not None
    url = await edge.listening()
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(
        base_url=url, headers=kong() if headers is None else headers, timeout=30, trust_env=False, limits=limits
    ) as client:
        yield client


def payload(answer: httpx.Response) -> dict[str, Any]:
    """The check in a good answer."""
    assert answer.is_success, (answer.status_code, answer.text)
    read: dict[str, Any] = answer.json()
    return read
