"""What a template file may hold, field by field; every problem with its path and, where we know one, a hint."""

import difflib
import json
import re
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from domain.expression_words import ExpressionError, span_ms

Path = tuple[str | int, ...]
DAY_S = 86_400
MAX_NAMES_TEXT = 512  # the column that holds them as a JSON array


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at one place of a file.

    `at` counts the characters of a text from 1, without the spaces around it; 0 means the whole value.
    """

    path: Path
    message: str
    hint: str = ""
    at: int = 0

    def __str__(self) -> str:
        at = f" (at character {self.at})" if self.at > 1 else ""
        return f"{'.'.join(map(str, self.path))}: {self.message}{at}"


def _printable(text: str) -> str:
    text = text.strip()
    if not text or not text.isprintable():
        raise ValueError("expected one line of printable text")
    return text


def _within_reach(text: str) -> str:
    span = text.lstrip("+-").partition(" ")[0]
    if span[0] not in "0se" and _is_too_long(span):
        raise ValueError("lies more than 366 days from the start")
    return text


def _is_too_long(span: str) -> bool:
    try:
        span_ms(span)
    except ExpressionError:
        return True
    return False


def _once(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]} stands twice")
    if len(json.dumps(names)) > MAX_NAMES_TEXT:
        raise ValueError(f"the names together are longer than {MAX_NAMES_TEXT} characters")
    return names


NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
EventName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
_Offset = r"(?:0|[1-9][0-9]{0,6})[smhd]"
CaseEvent = Annotated[
    str, Field(pattern=rf"^[+-]{_Offset} [A-Z][A-Z0-9_]{{0,63}}(?: [0-9]{{1,3}})?$"), AfterValidator(_within_reach)
]
CaseMoment = Annotated[str, Field(pattern=rf"^(?:start|end|\+{_Offset})$"), AfterValidator(_within_reach)]
Text = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_printable)]


class _Part(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class PollerContent(_Part):
    """How far a check looks back and ahead, in seconds, and what silence means."""

    past_interval: int = Field(
        default=0,
        ge=-1,
        le=366 * DAY_S,
        description="How far back a check looks, in seconds; -1: all the past, 0: not at all. A step may differ.",
    )
    future_interval: int = Field(
        default=0,
        ge=0,
        le=31 * DAY_S,
        description="How long a check listens, in seconds; 0: not at all. A script's step may differ.",
    )
    on_timeout: Literal["PASS", "FAIL", "UNKNOWN"] | None = Field(
        default=None,
        description="The answer when the window ends and no expression has decided. Without it the check is FAILED.",
    )


class Conditions(_Part):
    """The texts of the expressions, at least one."""

    model_config = ConfigDict(alias_generator=None)  # else PASS would be read as pass

    PASS: str = Field(default="", description="Asked first: the condition for PASS, such as exists('IN_BED').")
    FAIL: str = Field(default="", description="Asked if PASS is not true: the condition for FAIL.")
    UNKNOWN: str = Field(
        default="", description="Asked last: the condition for UNKNOWN, where the script should not insist."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("needs at least one of PASS, FAIL and UNKNOWN")
        return self


class ResourceContent(_Part):
    """Events and conditions."""

    depends_on: Annotated[
        list[EventName],
        Field(
            min_length=1,
            max_length=16,
            description="Names of the events that the expressions may ask for, each once.",
        ),
        AfterValidator(_once),
    ]
    expressions: Conditions = Field(description="The first that is true decides; none true: still PENDING.")


class ResourcesContent(_Part):
    """What is known at the start, and what comes until the end."""

    past_events: ResourceContent | None = Field(
        default=None, description="Asked once, at the start, about the events of pastInterval."
    )
    future_events: ResourceContent | None = Field(
        default=None,
        description="Asked at each event that comes within futureInterval, and once more at its end; sees the past.",
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.past_events is None and self.future_events is None:
            raise ValueError("needs pastEvents, futureEvents or both")
        return self


class Case(_Part):
    """An example in a template: a check starts, events come, and at `evaluate` the check says `expect`."""

    name: Text = Field(description="What the example shows.")
    start: str = Field(
        pattern=r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$",
        description="The time of day at which the check starts, such as '08:30', UTC.",
    )
    evaluate: CaseMoment = Field(
        description="When the answer is looked at: start, end (of the window), or '+20m' after the start."
    )
    events: list[CaseEvent] = Field(
        default_factory=list,
        max_length=100,
        description="Such as '-60m TOILET_ACTIVITY' or '+5m IN_BED 10': time from the start, name, level if needed.",
    )
    expect: Literal["PASS", "FAIL", "UNKNOWN", "PENDING"] = Field(description="What the check says then.")


class TemplateContent(_Part):
    """A kind of status check: the events that it depends on, and the conditions that decide by them."""

    name: str = Field(
        pattern=NAME_PATTERN,
        description="What the steps of scripts call it, such as TOILET_VISIT.",
    )
    version: int = Field(
        ge=1,
        le=2**31 - 1,
        description="Raise it when what decides changes: running checks keep the version that they began with.",
    )
    description: Text = Field(description="The question that a check answers, in one line.")
    is_active: bool = Field(
        default=True, description="Whether new checks may begin by it; the newest active version counts."
    )
    poll_until_end: bool = Field(
        default=False, description="true: listen on after a decision; the last one before the window ends counts."
    )
    poller: PollerContent = Field(
        default=PollerContent(), description="The window of a check, and its answer to silence."
    )
    resources: ResourcesContent = Field(description="What is asked: pastEvents, futureEvents or both.")
    tests: list[Case] = Field(
        default_factory=list,
        max_length=100,
        description="Examples, rehearsed whenever the file is loaded; one that comes out differently refuses the file.",
    )

    def content_hash(self) -> str:
        """A digest of everything that decides; the version must rise when it changes."""
        deciding = self.model_dump(mode="json", exclude={"version", "description", "is_active", "tests"})
        return sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def is_template_name(name: str) -> bool:
    """Whether a template may be called so."""
    return re.fullmatch(NAME_PATTERN.removesuffix("$"), name) is not None


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
