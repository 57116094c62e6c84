"""What a daemon says of itself, as a scraper and an operator read it: over HTTP, from the address it listens on."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from daemon.lifecycle import Daemon
from tests.world import World


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of /metrics."""

    text: str

    def value(self, name: str, /, **labels: str) -> float:
        """Of the one series with exactly these labels."""
        (value,) = [value for found, value in self.series(name) if found == labels]
        return value

    def total(self, name: str, /, **labels: str) -> float:
        """Of all series with these labels, whatever others they have."""
        return sum(value for found, value in self.series(name) if labels.items() <= found.items())

    def series(self, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """Labels and value of each series of one name."""
        for family in text_string_to_metric_families(self.text):
            yield from ((sample.labels, sample.value) for sample in family.samples if sample.name == name)

    @property
    def names(self) -> frozenset[str]:
        """Every series that has a value, by its whole name."""
        families = text_string_to_metric_families(self.text)
        return frozenset(sample.name for family in families for sample in family.samples)

    @property
    def described(self) -> frozenset[str]:
        """Every name that a rule may use: of histograms with their three endings."""
        found: set[str] = set()
        for line in self.text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                found |= {f"{name}{end}" for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who looks at one daemon."""

    http: httpx.AsyncClient

    async def scrape(self) -> Scrape:
        """Everything that is counted now."""
        answer = await self.http.get("/metrics")
        assert answer.status_code == 200, answer.text
        return Scrape(answer.text)

    async def health(self) -> dict[str, Any]:
        """The parts and their states."""
        answer = await self.http.get("/healthz")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def until(self, path: str, answer: tuple[int, str], within_s: float = 30.0) -> None:
        """Ask a probe again and again, as its owner does, until it gives this answer."""
        async with asyncio.timeout(within_s):
            while await self.asked(path) != answer:  # noqa: ASYNC110  nobody rings when the answer is another
                await asyncio.sleep(0.05)

    async def asked(self, path: str) -> tuple[int, str]:
        """Status and text of a probe."""
        answer = await self.http.get(path)
        return answer.status_code, answer.text.strip()


def looked_at(home: World, **ops: object) -> World:
    """A world whose daemon answers operators on any free port, with nothing that is kept for a while."""
    tree = home.settings.model_dump()
    home.settings = type(home.settings).model_validate({**tree, "ops": {"port": 0, "sample_every_s": 1, **ops}})
    return home


@asynccontextmanager
async def looking(daemon: Daemon, token: str | None = None) -> AsyncIterator[Operator]:
    """Somebody who looks at this daemon, with a token or without."""
    assert daemon.ops is not None
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(10):
        address = await daemon.ops.listening()
    async with httpx.AsyncClient(base_url=address, headers=headers, trust_env=False, timeout=15) as http:
        yield Operator(http)
