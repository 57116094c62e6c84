"""Holds what robotd publishes to its contract: every result of every daemon that runs in the process of a test."""

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from pydantic import ValidationError

from daemon.contracts.schemas import NAMES_OF_RESULTS, schema_of
from domain.messages import problems_of
from domain.result_models import RESULTS, ResultEnvelope

TYPES_OF_TESTS = frozenset({"wish.granted", "t"})
"""What tests of queue and store publish, which is no result of robotd's."""
_NAMES = {result_type: name for name, result_type in NAMES_OF_RESULTS.items()}


@cache
def validator(name: str) -> Draft202012Validator:
    """Decides by the schema of a message."""
    return Draft202012Validator(schema_of(name))


def problems_by_schema(name: str, message: Any) -> list[str]:
    """What a schema says against a message, with paths."""
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(message)]


def problems_of_result(body: str) -> list[str]:
    """What is wrong with a published result by its models, which know no key more, and by its schema."""
    message = json.loads(body)
    result_type = str(message.get("type"))
    if result_type in TYPES_OF_TESTS:
        return []
    if result_type not in RESULTS:
        return [f"{result_type}: no result of the contract"]
    try:
        ResultEnvelope.model_validate_json(body, strict=True)
        RESULTS[result_type].model_validate_json(json.dumps(message["payload"]), strict=True)
    except ValidationError as error:
        return [f"{result_type}: {problems_of(error)}"]
    return [f"{result_type}: {problem}" for problem in problems_by_schema(_NAMES[result_type], message)]
