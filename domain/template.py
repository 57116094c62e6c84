"""A status-check template: which events it depends on, and the conditions that make PASS, FAIL or UNKNOWN of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from domain.errors import RobotdError
from domain.expression import ExpressionFailed, evaluate
from domain.expression_functions import Facts, Moment
from domain.expression_syntax import Expression, parse_expression
from domain.expression_words import ExpressionError
from domain.status_check import Verdict
from domain.template_schema import Case, Problem, TemplateContent, read_content

__all__ = [
    "FUTURE",
    "PAST",
    "Case",
    "Judgement",
    "Moment",
    "Problem",
    "Resource",
    "Template",
    "TemplateError",
    "judge",
    "read_template",
]

_ORDER = (Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN)  # the first that is true wins
PAST, FUTURE = "pastEvents", "futureEvents"
MAX_REHEARSAL = 100_000  # expression cost over all examples: about 0.1 s of CPU time


class TemplateError(RobotdError):
    """The template can't be used."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(one) for one in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Resource:
    """Events and the conditions over them, in the order in which they are asked."""

    depends_on: tuple[str, ...]
    expressions: Mapping[Verdict, Expression]


@dataclass(frozen=True, slots=True)
class Template:
    """One version of a template. `content_hash` changes with whatever decides, not with description, state or tests."""

    name: str
    version: int
    description: str
    is_active: bool
    poll_until_end: bool
    past_interval_s: int
    future_interval_s: int
    on_timeout: Verdict | None
    past: Resource | None
    future: Resource | None
    content_hash: str
    cases: tuple[Case, ...] = ()

    @property
    def event_names(self) -> tuple[str, ...]:
        """The events that either resource depends on, each once, in the order of the file."""
        resources = [resource for resource in (self.past, self.future) if resource is not None]
        return tuple(dict.fromkeys(name for resource in resources for name in resource.depends_on))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a resource says at one moment. `left_out` counts older events that were too many to look at."""

    verdict: Verdict
    decided_by: str | None
    problems: tuple[str, ...] = ()
    left_out: int = 0


def judge(resource: Resource, moment: Moment) -> Judgement:
    """Ask the expressions in order. Never raises: one that fails is never true, and leaves UNKNOWN if none is."""
    facts = Facts(moment)
    problems: list[str] = []
    for verdict, expression in resource.expressions.items():
        try:
            if evaluate(expression, facts):
                return Judgement(verdict, expression.text, tuple(problems), facts.left_out)
        except ExpressionFailed as error:
            problems.append(f"{verdict.value}: {error}")
    verdict = Verdict.UNKNOWN if problems else Verdict.PENDING
    return Judgement(verdict, None, tuple(problems), facts.left_out)


def read_template(content: object) -> Template:
    """Make a template of a plain mapping, as a YAML file holds it. Raises TemplateError with every problem found."""
    read, problems = read_content(content)
    expressions = dict(_expressions(content, problems))
    if read is not None:
        problems += _unknown_events_of_cases(read)
        problems += _endless_examples(read, expressions.values())
    if read is None or problems:
        raise TemplateError(problems)
    on_timeout = read.poller.on_timeout
    return Template(
        name=read.name,
        version=read.version,
        description=read.description,
        is_active=read.is_active,
        poll_until_end=read.poll_until_end,
        past_interval_s=read.poller.past_interval,
        future_interval_s=read.poller.future_interval,
        on_timeout=None if on_timeout is None else Verdict(on_timeout),
        past=_resource(PAST, read, expressions),
        future=_resource(FUTURE, read, expressions),
        content_hash=read.content_hash(),
        cases=tuple(read.tests),
    )


def _resource(
    key: str, read: TemplateContent, expressions: Mapping[tuple[str, Verdict], Expression]
) -> Resource | None:
    content = read.resources.past_events if key == PAST else read.resources.future_events
    if content is None:
        return None
    mine = {verdict: expressions[key, verdict] for verdict in _ORDER if (key, verdict) in expressions}
    return Resource(tuple(content.depends_on), MappingProxyType(mine))


def _expressions(content: object, problems: list[Problem]) -> Iterator[tuple[tuple[str, Verdict], Expression]]:
    # From the raw content, so that a bad field elsewhere doesn't hide what is wrong with an expression.
    resources = _below(content, "resources")
    for key in (PAST, FUTURE):
        resource = _below(resources, key)
        names = resource.get("dependsOn")
        known = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        texts = _below(resource, "expressions")
        for verdict in _ORDER:
            if isinstance(text := texts.get(verdict.value), str):
                try:
                    yield (key, verdict), parse_expression(text, known)
                except ExpressionError as error:
                    path = ("resources", key, "expressions", verdict.value)
                    problems.append(Problem(path, str(error), error.hint, error.column))


def _below(content: object, key: str) -> Mapping[object, object]:
    below = content.get(key) if isinstance(content, dict) else None
    return below if isinstance(below, dict) else {}


def _endless_examples(read: TemplateContent, expressions: Iterable[Expression]) -> Iterator[Problem]:
    # Every event asks every expression; files come from strangers, and the daemon reads them while it works.
    moments = sum(len(case.events) + 2 for case in read.tests)
    if moments * sum(expression.cost for expression in expressions) > MAX_REHEARSAL:
        hint = "write fewer events, or shorter expressions"
        yield Problem(("tests",), f"the examples take too long: {moments} times all expressions", hint)


def _unknown_events_of_cases(read: TemplateContent) -> Iterator[Problem]:
    both = (read.resources.past_events, read.resources.future_events)
    known = {name for resource in both if resource is not None for name in resource.depends_on}
    for number, case in enumerate(read.tests):
        for position, event in enumerate(case.events):
            if event.split()[1] not in known:
                yield Problem(("tests", number, "events", position), "no resource depends on this event")
