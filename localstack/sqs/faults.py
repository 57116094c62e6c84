"""The faults that the server can play, drawn from a seed so that a failing run can be run again.

Each kind draws from its own generator: switching one kind on leaves the rolls of the others as they were.
"""

from dataclasses import dataclass, field, fields
from random import Random
from typing import Literal

StaleHandle = Literal["ignored", "deletes", "refused"]


@dataclass(slots=True)
class Faults:
    """Probabilities (0 to 1) and sizes, all of which may be changed while the server runs.

    `only` restricts every fault to these operations. `lose_reply` applies the request and drops the connection,
    `reset` drops it before. `stale_handle` is what a delete by an outdated receipt handle does: "ignored" answers
    success and keeps the message (as SQS may), "deletes" really deletes, "refused" answers ReceiptHandleIsInvalid.
    `receive_count_jump` adds one to three receives that nobody made.
    """

    seed: int = 0
    duplicate: float = 0.0
    reorder_window: int = 0
    lose_reply: float = 0.0
    reset: float = 0.0
    error: float = 0.0
    throttle: float = 0.0
    partial_failure: float = 0.0
    empty_receive: float = 0.0
    receive_count_jump: float = 0.0
    delay_s: float = 0.0
    stale_handle: StaleHandle = "ignored"
    only: frozenset[str] | None = None
    _generators: dict[tuple[int, str], Random] = field(default_factory=dict, repr=False, compare=False)

    def rolls(self, kind: str, probability: float, operation: str) -> bool:
        """Whether the fault `kind` strikes this time; a probability of 0 draws nothing."""
        return probability > 0 and self.covers(operation) and self.generator(kind).random() < probability

    def covers(self, operation: str) -> bool:
        """Whether faults apply to this operation at all."""
        return self.only is None or operation in self.only

    def generator(self, kind: str) -> Random:
        """The generator of one kind; a new seed starts a new sequence."""
        key = (self.seed, kind)
        if key not in self._generators:
            self._generators[key] = Random(f"{self.seed}/{kind}")
        return self._generators[key]

    def update(self, values: dict[str, object]) -> None:
        """Set fields by name, all or none. Raises ValueError for an unknown name or a value of another type."""
        checked = {name: _checked(name, value) for name, value in values.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def as_dict(self) -> dict[str, object]:
        """The settings as JSON can hold them."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.init and each.name[0] != "_"}
        return values | {"only": None if self.only is None else sorted(self.only)}


def _checked(name: str, value: object) -> object:
    if name == "only" and (value is None or isinstance(value, list)):
        return None if value is None else frozenset(map(str, value))
    if name == "stale_handle" and value in {"ignored", "deletes", "refused"}:
        return value
    if name in {"seed", "reorder_window"} and isinstance(value, int):
        return value
    if name in PROBABILITIES and isinstance(value, int | float) and value >= 0:
        return float(value)
    raise ValueError(f"{name}={value!r} is not a setting of the faults")


PROBABILITIES = frozenset(each.name for each in fields(Faults) if each.type is float)
