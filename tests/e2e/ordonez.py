"""Fourteen days of a real home, as a robot's Megazord would tell them.

The recording is "OrdonezA" of Ordóñez, de Toledo, Sanchis: Activity Recognition Using Hybrid Generative/Discriminative
Models on Home Environments Using Binary Sensors, Sensors 2013, 13, 5460-5477. It is not ours and not in this tree.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

FILE = "OrdonezA_Sensors.txt"
HOME_ZONE = ZoneInfo("Europe/Madrid")
AT_START = {
    "Toilet": "TOILET_ACTIVITY",
    "Bed": "IN_BED",
    "Seat": "IN_LIVING_ROOM",
    **dict.fromkeys(("Fridge", "Cupboard", "Microwave", "Toaster", "Cooktop"), "EATING_ACTIVITY"),
    **dict.fromkeys(("Basin", "Shower", "Cabinet"), "BATHROOM_ACTIVITY"),
}
FIRST_RISING, LAST_RISING = time(5), time(13)


@dataclass(frozen=True, slots=True)
class Row:
    """One sensor that was on for a while."""

    start: datetime
    end: datetime
    sensor: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One event as Megazord stores it."""

    at_ms: int
    name: str


def read_rows() -> list[Row]:
    """The whole recording by start. Skips the test, by the file's name, where it is absent."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    file = Path(os.environ.get("ROBOTD_DATA", beside)) / FILE
    if not file.is_file():
        pytest.skip(f"{FILE} is absent: name its folder in ROBOTD_DATA")
    _header, _rule, *lines = file.read_text(encoding="ascii").splitlines()
    return sorted((_row(line) for line in lines if line.strip()), key=lambda row: row.start)


def _row(line: str) -> Row:
    start, end, sensor, *_ = re.split(r"\s*\t\s*", line.strip())
    return Row(_local(start), _local(end), sensor)


def _local(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=HOME_ZONE)


def at_ms(at: datetime) -> int:
    """Milliseconds since 1970 of a local time."""
    return int(at.timestamp()) * 1000


def events_of(rows: Sequence[Row]) -> list[Seen]:
    """What Megazord is told: each sensor when it comes on, the bed also when it is left, the door when it is shut.

    The door tells nobody which way it was passed: who is seen at no other sensor before it opens again was out.
    """
    seen = [Seen(at_ms(row.start), AT_START[row.sensor]) for row in rows if row.sensor != "Maindoor"]
    seen += [Seen(at_ms(row.end), "OUT_OF_BED") for row in rows if row.sensor == "Bed"]
    seen += [
        Seen(at_ms(row.end), "OUTSIDE_HOME" if later.sensor == "Maindoor" else "INSIDE_HOME")
        for row, later in pairwise(rows)
        if row.sensor == "Maindoor"
    ]
    return sorted(seen, key=lambda event: event.at_ms)


def risings(rows: Sequence[Row]) -> list[datetime]:
    """Getting up: of each day the end of the last time in bed that ends between 05:00 and 13:00, local time."""
    ends = [row.end for row in rows if row.sensor == "Bed" and FIRST_RISING <= row.end.time() <= LAST_RISING]
    return sorted({end.date(): end for end in sorted(ends)}.values())
