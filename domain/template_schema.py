"""What a template file may hold, field by field; every problem with its path and, where we know one, a hint."""

import difflib
import json
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

Path = tuple[str | int, ...]
DAY_S = 86_400
MAX_NAMES_TEXT = 512  # the column that holds them as a JSON array


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at one place of a file."""

    path: Path
    message: str
    hint: str = ""


def _printable(text: str) -> str:
    text = text.strip()
    if not text or not text.isprintable():
        raise ValueError("expected one line of printable text")
    return text


def _once(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]} stands twice")
    if len(json.dumps(names)) > MAX_NAMES_TEXT:
        raise ValueError(f"the names together are longer than {MAX_NAMES_TEXT} characters")
    return names


EventName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
_Offset = r"(?:0|[1-9][0-9]{0,6})[smhd]"
CaseEvent = Annotated[str, Field(pattern=rf"^[+-]{_Offset} [A-Z][A-Z0-9_]{{0,63}}(?: [0-9]{{1,3}})?$")]
Text = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_printable)]


class _Part(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class PollerContent(_Part):
    """How far a check looks back and ahead, in seconds, and what silence means."""

    past_interval: int = Field(default=0, ge=-1, le=366 * DAY_S)
    future_interval: int = Field(default=0, ge=0, le=31 * DAY_S)
    on_timeout: Literal["PASS", "FAIL", "UNKNOWN"] | None = None


class Conditions(_Part):
    """The texts of the expressions, at least one."""

    model_config = ConfigDict(alias_generator=None)  # else PASS would be read as pass

    PASS: str = ""
    FAIL: str = ""
    UNKNOWN: str = ""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("needs at least one of PASS, FAIL and UNKNOWN")
        return self


class ResourceContent(_Part):
    """Events and conditions."""

    depends_on: Annotated[list[EventName], Field(min_length=1, max_length=16), AfterValidator(_once)]
    expressions: Conditions


class ResourcesContent(_Part):
    """What is known at the start, and what comes until the end."""

    past_events: ResourceContent | None = None
    future_events: ResourceContent | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.past_events is None and self.future_events is None:
            raise ValueError("needs pastEvents, futureEvents or both")
        return self


class Case(_Part):
    """An example in a template: a check starts, events come, and at `evaluate` the check says `expect`."""

    name: Text
    start: str = Field(pattern=r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$")
    evaluate: str = Field(pattern=rf"^(?:start|end|\+{_Offset})$")
    events: list[CaseEvent] = Field(default_factory=list, max_length=100)
    expect: Literal["PASS", "FAIL", "UNKNOWN", "PENDING"]


class TemplateContent(_Part):
    """A template file."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
    version: int = Field(ge=1, le=2**31 - 1)
    description: Text
    is_active: bool = True
    poll_until_end: bool = False
    poller: PollerContent = PollerContent()
    resources: ResourcesContent
    tests: list[Case] = Field(default_factory=list, max_length=100)

    def content_hash(self) -> str:
        """A digest of everything that decides; the version must rise when it changes."""
        deciding = self.model_dump(mode="json", exclude={"version", "description", "is_active", "tests"})
        return sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def read_content(content: object) -> tuple[TemplateContent | None, list[Problem]]:
    """The content of a file if its shape is right, else every problem of it."""
    try:
        return TemplateContent.model_validate(content), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        return None, [_problem(part["type"], part["loc"], part["msg"]) for part in found]


_MESSAGES = MappingProxyType(
    {
        "extra_forbidden": "unknown field",
        "missing": "is missing",
        "model_type": "expected fields below it",
        "int_type": "expected a whole number",
        "bool_type": "expected true or false",
        "string_type": "expected text",
        "list_type": "expected a list",
    }
)
_HINTS = MappingProxyType(
    {
        "int_type": "write it without quotes and without a fraction",
        "bool_type": "write true or false, without quotes",
        "string_type": "put it in quotes",
        "list_type": "write [A, B] or one line per item, each with a dash",
    }
)
_PATTERN_HINTS = MappingProxyType(
    {
        "dependsOn": "event names are capitals, digits and _, such as TOILET_ACTIVITY",
        "events": "write '-60m TOILET_ACTIVITY' or '+5m IN_BED 10', relative to the start",
        "evaluate": "write start, end or '+20m'",
        "start": "write '08:30'",
        "name": "letters, digits, _ and -, first a letter",
    }
)
_FIELDS = ("name", "version", "description", "isActive", "pollUntilEnd", "poller", "resources", "tests")
_POLLER_FIELDS = ("pastInterval", "futureInterval", "onTimeout")
_RESOURCE_FIELDS = ("pastEvents", "futureEvents", "dependsOn", "expressions", "PASS", "FAIL", "UNKNOWN")
_CASE_FIELDS = ("name", "start", "evaluate", "events", "expect")


def _problem(kind: str, path: Path, message: str) -> Problem:
    last_name = next((str(part) for part in reversed(path) if isinstance(part, str)), "")
    hint = _HINTS.get(kind, "")
    if kind == "extra_forbidden":
        hint = _did_you_mean(last_name, len(path))
    elif kind == "string_pattern_mismatch":
        message, hint = "is not written as it must be", _PATTERN_HINTS.get(last_name, "")
    return Problem(path, _MESSAGES.get(kind, message.removeprefix("Value error, ")), hint)


def _did_you_mean(word: str, depth: int) -> str:
    known = _FIELDS if depth == 1 else (*_POLLER_FIELDS, *_RESOURCE_FIELDS, *_CASE_FIELDS)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else ""
