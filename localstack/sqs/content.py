"""The content of a message: which bodies and attributes SQS takes, how it measures them, which checksums it returns."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localstack.sqs.errors import SqsError
from localstack.sqs.parameters import Request, mapping, text

MAX_SIZE = 1_048_576
MAX_ATTRIBUTES = 10
MAX_NAME = 256

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_DATA_TYPE = re.compile(r"(String|Number|Binary)(\.[^\s]+)?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NAME = re.compile(r"(?!(?i:aws|amazon)\.)(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]+(?<!\.)")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One message attribute: `raw` is what is measured and hashed, `wire` is what travels in JSON."""

    data_type: str
    raw: bytes
    wire: Mapping[str, str]

    @property
    def is_binary(self) -> bool:
        """Whether the value is bytes."""
        return self.data_type.startswith("Binary")


Attributes = Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class Content:
    """What a sender gave, checked."""

    body: str
    size: int
    md5: str
    attributes: Attributes
    attributes_md5: str | None
    system: Mapping[str, str]
    system_md5: str | None


def read(request: Request) -> Content:
    """The content of a SendMessage request or batch entry."""
    body = text(request, "MessageBody")
    if not body:
        raise SqsError("MissingParameter", "The request must contain the parameter MessageBody.")
    _refuse_forbidden(body)
    raw = body.encode()
    attributes = _attributes(mapping(request, "MessageAttributes"))
    system = _attributes(mapping(request, "MessageSystemAttributes"))
    return Content(
        body=body,
        size=len(raw) + (_size(attributes) if attributes else 0),
        md5=hashlib.md5(raw, usedforsecurity=False).hexdigest(),
        attributes=attributes,
        attributes_md5=attributes_md5(attributes),
        system={name: each.wire["StringValue"] for name, each in system.items() if not each.is_binary},
        system_md5=attributes_md5(system),
    )


def attributes_md5(attributes: Attributes) -> str | None:
    """AWS's checksum of message attributes, None when there are none.

    By name in order: length-prefixed name and data type, one byte for the transport (1 text, 2 bytes), then the
    length-prefixed value.
    """
    if not attributes:
        return None
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        for part in (name.encode(), attribute.data_type.encode()):
            digest.update(len(part).to_bytes(4, "big") + part)
        digest.update(b"\x02" if attribute.is_binary else b"\x01")
        digest.update(len(attribute.raw).to_bytes(4, "big") + attribute.raw)
    return digest.hexdigest()


def select(attributes: Attributes, names: Sequence[str]) -> Attributes:
    """The attributes that a receiver asked for: by name, `All`, `.*` or `prefix.*`."""
    if not attributes or not names:
        return {}
    if "All" in names or ".*" in names:
        return attributes
    prefixes = tuple(name[:-2] for name in names if name.endswith(".*"))
    return {key: each for key, each in attributes.items() if key in names or (prefixes and key.startswith(prefixes))}


def _attributes(values: Mapping[str, object]) -> Attributes:
    if not values:
        return {}
    if len(values) > MAX_ATTRIBUTES:
        raise SqsError(
            "InvalidParameterValue",
            f"Number of message attributes [{len(values)}] exceeds the allowed maximum [{MAX_ATTRIBUTES}].",
        )
    return {name: _attribute(name, value) for name, value in values.items()}


def _attribute(name: str, value: object) -> Attribute:
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise SqsError("InvalidParameterValue", f"Message (user) attribute name '{name}' is invalid.")
    if not isinstance(value, dict):
        raise SqsError("InvalidParameterValue", f"The message attribute '{name}' must be a structure.")
    data_type = value.get("DataType")
    if not isinstance(data_type, str) or not _DATA_TYPE.fullmatch(data_type):
        raise SqsError(
            "InvalidParameterValue", f"The message attribute '{name}' has an invalid message attribute type."
        )
    field = "BinaryValue" if data_type.startswith("Binary") else "StringValue"
    content = value.get(field)
    if not isinstance(content, str) or not content:
        raise SqsError("InvalidParameterValue", f"The message attribute '{name}' must contain a non-empty {field}.")
    return Attribute(data_type, _raw(name, data_type, content), {"DataType": data_type, field: content})


def _raw(name: str, data_type: str, content: str) -> bytes:
    if data_type.startswith("Binary"):
        try:
            return base64.b64decode(content, validate=True)
        except binascii.Error as error:
            raise SqsError("InvalidParameterValue", f"The message attribute '{name}' is not base64.") from error
    _refuse_forbidden(content)
    if data_type.startswith("Number") and not _NUMBER.fullmatch(content):
        raise SqsError(
            "InvalidParameterValue", f"Can't cast the value of message (user) attribute '{name}' to a number."
        )
    return content.encode()


def _size(attributes: Attributes) -> int:
    return sum(len(name.encode()) + len(each.data_type.encode()) + len(each.raw) for name, each in attributes.items())


def _refuse_forbidden(content: str) -> None:
    if found := _FORBIDDEN.search(content):
        raise SqsError(
            "InvalidMessageContents",
            f"Invalid binary character '#x{ord(found[0]):X}' was found in the message body, "
            "the set of allowed characters is #x9 | #xA | #xD | [#x20 to #xD7FF] | [#xE000 to #xFFFD] | "
            "[#x10000 to #x10FFFF]",
        )
