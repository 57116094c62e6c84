"""One call of a webhook in a relay's forms, and its signature; whatever anybody writes, nothing raises."""

import base64
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.webhook_call import json_object, read_call
from localstack.waha_webhooks import Webhook, signature
from tests.whatsapp import notified, wrapped

KEY = "my-secret-key"
BODY = '{"event":"message","session":"default","engine":"WEBJS"}'
VECTOR = (
    "208f8a55dde9e05519e898b10b89bf0d0b3b0fdf11fdbf09b6b90476301b98d8"
    "097c462b2b17a6ce93b6b47a136cf2e78a33a63f6752c2c1631777076153fa89"
)
HEADERS = {"X-Webhook-Hmac": VECTOR, "X-Webhook-Hmac-Algorithm": "sha512"}
CALL = Webhook(BODY, HEADERS)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def test_the_signature_is_that_of_waha_s_documentation() -> None:
    """Its key and its body give its value."""
    assert (VECTOR[:8], VECTOR[-6:]) == ("208f8a55", "53fa89")
    assert signature(KEY, BODY.encode()) == VECTOR
    assert read_call(BODY, HEADERS).is_signed_with(KEY)


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        (BODY, {name.lower(): value for name, value in HEADERS.items()}),
        (BODY, {name.upper(): value for name, value in HEADERS.items()}),
        (BODY, {"X-Webhook-Hmac": f" {VECTOR.upper()} ", "X-Webhook-Hmac-Algorithm": "SHA512"}),
        (BODY, {"X-Webhook-Hmac": VECTOR}),
        (BODY, {"errorKind": "bad-signature", "originalAttributes": json.dumps(HEADERS)}),
        (wrapped(CALL), {}),
        (wrapped(Webhook(base64.b64encode(BODY.encode()).decode(), HEADERS), isBase64Encoded=True), {}),
        (wrapped(CALL, isBase64Encoded=True), {}),
        (notified(CALL), {}),
        (notified(Webhook(wrapped(CALL), {})), {"X-Webhook-Hmac": "of something else"}),
    ],
)
def test_every_form_of_a_relay_keeps_the_body_to_the_byte(body: str, attributes: Mapping[str, str]) -> None:
    """The text that was signed comes out of it, and its signature holds; with another key it does not."""
    call = read_call(body, attributes)
    assert (call.body, call.is_signed_with(KEY)) == (BODY.encode(), True)
    assert not call.is_signed_with(KEY + " ")
    assert not call.is_signed_with("")


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        (BODY, {}),
        (BODY + " ", HEADERS),
        (BODY.replace(",", ", "), HEADERS),
        (BODY, {**HEADERS, "X-Webhook-Hmac": VECTOR[:-1]}),
        (BODY, {**HEADERS, "X-Webhook-Hmac": ""}),
        (BODY, {**HEADERS, "X-Webhook-Hmac": "\ud800\u00e9"}),
        (BODY, {**HEADERS, "X-Webhook-Hmac-Algorithm": "md5"}),
        (BODY, {**HEADERS, "X-Webhook-Hmac-Algorithm": ""}),
        (json.dumps({"headers": {"X-Webhook-Hmac": [VECTOR]}, "body": BODY}), {}),
        (json.dumps({"headers": HEADERS, "body": json.loads(BODY)}), {}),
        (json.dumps({"Type": "Notification", "Message": BODY, "MessageAttributes": ["x"]}), HEADERS),
    ],
)
def test_whatever_is_not_signed_to_the_byte_is_not_believed(body: str, attributes: Mapping[str, str]) -> None:
    """A body written anew, a missing or cut value, another algorithm, headers that are not text."""
    assert not read_call(body, attributes).is_signed_with(KEY)


@given(st.text() | JSON.map(json.dumps), st.dictionaries(st.text(), st.text(), max_size=4), st.text())
def test_nothing_that_anybody_writes_raises_or_is_believed(body: str, attributes: dict[str, str], key: str) -> None:
    """Any text, any JSON, any attributes, any key: it is read, and has no signature."""
    call = read_call(body, {**attributes, "X-Webhook-Hmac": body[:200]})
    assert not call.is_signed_with(key)


@given(
    JSON,
    st.dictionaries(
        st.sampled_from(["headers", "body", "isBase64Encoded", "Type", "Message", "MessageAttributes"]), JSON
    ),
)
def test_half_a_form_is_no_call(value: object, fields: dict[str, object]) -> None:
    """Forms with anything in their places are read without a signature."""
    for body in (json.dumps(fields), json.dumps({**fields, "Type": "Notification", "Message": json.dumps(value)})):
        assert not read_call(body, {}).is_signed_with(KEY)


@pytest.mark.parametrize("text", ["", "[1]", "nonsense", "[" * 100_000, '{"a": ' * 50_000, "9" * 5_000, b"\xff", b""])
def test_what_is_no_object_is_an_empty_one(text: str | bytes) -> None:
    """Neither depth nor length nor bytes of no encoding raise."""
    assert json_object(text) == {}
