import ast
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import SchemaError

from daemon.contracts.asyncapi import SQS_BINDING, asyncapi
from daemon.contracts.baseline import FILE, broken_promises
from daemon.contracts.catalogue import direction_of, names
from daemon.contracts.command import FOLDER
from daemon.contracts.examples import example_message
from daemon.contracts.export import export, files, stale
from daemon.contracts.meanings import MEANINGS
from daemon.contracts.said import COMMANDS_SAID, EVENTS_SAID, EVERY_COMMAND, RESULTS_SAID
from daemon.contracts.schemas import EVENTS, NAMES_OF_RESULTS, schema_of
from domain.errors import MessageError
from domain.messages import COMMANDS, Envelope, read_envelope, read_megazord_event
from domain.result_models import RESULTS
from domain.whatsapp_events import read_event
from tests.contracts import problems_by_schema, problems_of_result

ROOT = Path(__file__).parents[3]
NAMES = tuple(names())
Node = dict[str, Any]
Path_ = tuple[str | int, ...]


def read(name: str, message: Node) -> None:
    """As robotd reads it. Raises MessageError, and ValueError of pydantic."""
    body = json.dumps(message)
    if name in COMMANDS:
        COMMANDS[name].model_validate(read_envelope(body).data)
    elif name == "megazord.event":
        read_megazord_event(body)
    elif name == "waha.event":
        read_event(body.encode())
    elif problems := problems_of_result(body):
        raise ValueError(problems)


def is_read(name: str, message: Node) -> bool:
    try:
        read(name, message)
    except (MessageError, ValueError):
        return False
    return True


def leaves(node: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The path of each value within a message, objects and lists included."""
    for key, below in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*path, key)
        if isinstance(below, dict | list):
            yield from leaves(below, (*path, key))


def changed(message: Node, path: Path_, value: object) -> Node:
    """A copy with another value at one place; without it where that is `...`."""
    copied = copy.deepcopy(message)
    holder: Any = copied
    for key in path[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return copied


WRONG_VALUES: tuple[Any, ...] = (
    ...,
    None,
    True,
    -1,
    2**70,
    1.5,
    "",
    "no\nsuch",
    "x" * 20_000,
    [],
    {},
    [{"strange": 1}],
    {"strange": 1},
)


def variants(message: Node) -> Iterator[tuple[str, Node]]:
    """The message with each place left out, or filled with what hardly fits, and a key more in each object."""
    for path in leaves(message):
        for value in WRONG_VALUES:
            yield f"{path} = {str(value)[:20]}", changed(message, path, value)
    for path in [(), *(path for path in leaves(message) if isinstance(at(message, path), dict))]:
        yield f"{path} has a key more", changed(message, (*path, "strangeKey"), 1)


def at(message: Any, path: Path_) -> Any:
    for key in path:
        message = message[key]
    return message


def test_what_is_committed_is_what_the_models_make() -> None:
    """Every file of docs/contracts is fresh, and none is left of a message that is gone."""
    assert stale(FOLDER) == [], "run make docs"
    there = {str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*") if file.is_file()}
    assert there - set(files()) == {FILE, "status-check-template.schema.json"}


def test_export_writes_all_of_it_once(tmp_path: Path) -> None:
    """A fresh folder gets every file, a second time nothing, and a spoilt file alone."""
    assert export(tmp_path / "to") == list(files())
    assert export(tmp_path / "to") == []
    (tmp_path / "to" / "asyncapi.json").write_text("{}", encoding="utf-8")
    assert export(tmp_path / "to") == ["asyncapi.json"]


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_is_one(name: str) -> None:
    """It is valid by the dialect's own schema, and names its dialect."""
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert "$ref" not in json.dumps(schema)


def test_what_is_no_schema_would_be_found() -> None:
    """The check above refuses a schema that is wrong."""
    with pytest.raises(SchemaError):
        Draft202012Validator.check_schema({**schema_of("error"), "required": "all"})


@pytest.mark.parametrize("name", NAMES)
def test_each_example_fits_and_is_read(name: str) -> None:
    """The golden example is right by its schema, and by the reader or the models themselves."""
    message = example_message(name)
    assert problems_by_schema(name, message) == []
    read(name, message)


@pytest.mark.parametrize("name", NAMES)
def test_each_key_of_a_message_is_shown_by_its_example(name: str) -> None:
    """Nothing that must be there is missing in an example, and most of what may be there is in it."""
    message = example_message(name)
    assert set(schema_of(name)["required"]) <= set(message)


@pytest.mark.parametrize("name", NAMES)
def test_reader_and_schema_refuse_the_same(name: str) -> None:
    """An example spoilt at any place is refused by both or taken by both; and most spoilt ones are refused."""
    refused = total = 0
    for what, message in variants(example_message(name)):
        by_schema, by_reader = not problems_by_schema(name, message), is_read(name, message)
        total += 1
        refused += not by_reader
        if by_schema != by_reader:
            assert is_known_difference(name, what), (name, what, by_schema, by_reader)
    assert refused > total // 3


KNOWN_DIFFERENCES = {
    "contacts.import": "('data', 'listName')",  # one line that isn't blank: no schema says so
    "megazord.event": "('to',",  # read leniently, and compared with the event's robot
    "waha.event": "('id',)",  # any other than WAHA's own is replaced
}


def is_known_difference(name: str, what: str) -> bool:
    """What a schema can't say. Readers of results have to take a key more, but we never send one."""
    if direction_of(name) == "sent":
        return "has a key more" in what
    return name in KNOWN_DIFFERENCES and what.startswith(KNOWN_DIFFERENCES[name])


def test_no_two_messages_are_taken_for_each_other() -> None:
    """The type in an envelope is part of its schema."""
    for name in (*COMMANDS, *NAMES_OF_RESULTS):
        message = {**example_message(name), "type": "no.such"}
        assert [line for line in problems_by_schema(name, message) if line.startswith("$.type")]


def test_each_field_has_a_meaning_and_each_meaning_a_field() -> None:
    """Every key in every schema says what it means."""
    silent = [f"{name} {path}" for name in NAMES for path in without_description(schema_of(name))]
    assert silent == []
    models: list[Any] = [*COMMANDS.values(), *EVENTS.values(), Envelope]
    fields = {model.__name__: set(keys(model)) for model in models}
    for model, meanings in MEANINGS.items():
        if model in fields:
            assert set(meanings) == fields[model], model


def keys(model: Any) -> Iterator[str]:
    yield from model.model_json_schema(by_alias=True)["properties"]


def without_description(node: Node, path: str = "") -> Iterator[str]:
    for key, below in node.get("properties", {}).items():
        if not below.get("description"):
            yield f"{path}.{key}"
        for part in (below, below.get("items", {}), *below.get("anyOf", [])):
            yield from without_description(part, f"{path}.{key}")


def test_every_message_is_said_and_says_what_exists() -> None:
    """Each command, event and result has its words; the results and errors in them are those of the code."""
    assert set(COMMANDS_SAID) == set(COMMANDS)
    assert set(EVENTS_SAID) == set(EVENTS)
    assert set(RESULTS_SAID) == set(RESULTS)
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for said in (*COMMANDS_SAID.values(), *EVENTS_SAID.values()):
        assert set(said.results) <= set(RESULTS)
        assert {kind for kind in (*said.errors, *EVERY_COMMAND) if f"`{kind}`" not in operations} == set()


def test_every_result_of_the_code_is_in_the_contract() -> None:
    """Each literal type that is published is one of RESULTS, and each of RESULTS is published somewhere."""
    texts = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "handlers").glob("*.py"))]
    texts.append((ROOT / "domain" / "messages.py").read_text(encoding="utf-8"))
    makers = ("Result", "result_to", "tell", "publish", "_reply")
    found: set[str] = set()
    for call in (node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        maker = call.func.id if isinstance(call.func, ast.Name) else ""
        given = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        found |= {one for one in given if maker in makers and re.fullmatch("error|[a-z-]+[.][a-z-]+", one)}
    assert found <= set(RESULTS)
    assert set(RESULTS) - found == {"campaign.completed", "campaign.failed", "campaign.cancelled"}  # of the status


def test_the_asyncapi_document_holds_together() -> None:
    """The parts that AsyncAPI 3.0 demands are there, and every reference leads somewhere."""
    # A check of its structure alone: the specification's own schema is not at hand without a network.
    document = asyncapi()
    assert document["asyncapi"] == "3.0.0"
    assert set(document) <= {"asyncapi", "info", "defaultContentType", "channels", "operations", "components"}
    assert set(document["info"]) == {"title", "version", "description"}
    for reference in references(document):
        assert at(document, tuple(reference.removeprefix("#/").split("/")))
    for channel in document["channels"].values():
        assert set(channel) <= {"address", "description", "messages", "parameters", "bindings"}
        used = set(re.findall(r"\{(\w+)\}", channel["address"] or ""))
        assert used == set(channel.get("parameters", {}))
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        messages = document["channels"][operation["channel"]["$ref"].rpartition("/")[2]]["messages"]
        assert {one["$ref"].rpartition("/")[2] for one in operation["messages"]} <= set(messages)


def references(node: Any) -> Iterator[str]:
    for below in node.values() if isinstance(node, dict) else node:
        if isinstance(below, dict | list):
            yield from references(below)
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node["$ref"]


def test_the_queues_have_bindings_of_the_version_that_parsers_know() -> None:
    """0.2.0: a later one is refused by the parser of the specification's own people."""
    bound = [channel["bindings"]["sqs"] for channel in asyncapi()["channels"].values() if "bindings" in channel]
    assert [binding["bindingVersion"] for binding in bound] == [SQS_BINDING, SQS_BINDING]
    assert SQS_BINDING == "0.2.0"
    for binding in bound:
        assert binding["queue"]["fifoQueue"] is False
        assert binding["queue"]["redrivePolicy"]["deadLetterQueue"]["name"] == f"{binding['queue']['name']}-dlq"


def test_the_messages_of_the_asyncapi_document_are_readable_by_older_dialects() -> None:
    """Payloads and headers are schemas of draft 7, too, which is what AsyncAPI takes without saying more."""
    for name, message in asyncapi()["components"]["messages"].items():
        assert re.fullmatch(r"[A-Za-z0-9_]+", name)
        for schema in (message["payload"], message["headers"]):
            Draft7Validator.check_schema(schema)
        assert not list(Draft7Validator(message["payload"]).iter_errors(message["examples"][0]["payload"]))


def test_the_page_shows_each_message_with_its_fields() -> None:
    """A heading, a row for each key and the example."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "[[" not in page.replace("[[]", "")
    for name in NAMES:
        part = page.split(f"\n### {name}\n", 1)[1].split("\n### ", 1)[0]
        inner = "data" if name in COMMANDS else "payload"
        for key in schema_of(name)["properties"][inner].get("properties", {}):
            assert re.search(rf"\| `(payload\.)?{key}`", part), (name, key)
        assert json.dumps(example_message(name), indent=2) in part


@pytest.mark.parametrize(
    ("result_type", "payload", "problem"),
    [
        ("opt-out.added", {"chatId": "1@c.us", "isNew": True, "extra": 1}, "extra: Extra inputs"),
        ("opt-out.added", {"chatId": "1@c.us"}, "isNew: Field required"),
        ("opt-out.added", {"chatId": "1@c.us", "isNew": "yes"}, "isNew: Input should be a valid boolean"),
        ("opt-out.removed", {}, "no result of the contract"),
        ("campaign.paused", {"chatId": "1@c.us", "isNew": True}, "campaignId: Field required"),
    ],
)
def test_a_result_that_breaks_the_contract_fails_the_test_that_publishes_it(
    result_type: str, payload: Node, problem: str
) -> None:
    """A key more or less, another kind of value, another payload for the type, an unknown type: all are found."""
    body = {**example_message("opt-out.added"), "type": result_type, "payload": payload}
    assert problem in " ".join(problems_of_result(json.dumps(body)))


def test_today_breaks_no_promise() -> None:
    """The contract of the last release holds, or the version was raised."""
    assert broken_promises(FOLDER / FILE) == [], "raise VERSION in daemon/contracts/catalogue.py, or keep the promise"
