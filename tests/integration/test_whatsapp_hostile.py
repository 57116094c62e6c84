"""Envelopes that nobody would write, rightly signed, through SQS and the daemon: each has an outcome, nothing fails."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localstack.waha_webhooks import Webhook, signature
from tests.whatsapp import SESSION, TOLD, chat, told_world

WORDS = st.sampled_from(
    [
        SESSION,
        chat(0),
        "stop",
        "99900777@lid",
        "status@broadcast",
        "true_99900@c.us_A",
        "A_B_C_D_E",
        "WORKING",
        "\ud800",
    ]
)
VALUES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("id", "ack", "from", "to", "participant", "fromMe", "body", "name", "status"), VALUES),
)
ENVELOPES = st.fixed_dictionaries(
    {"event": st.sampled_from(["session.status", "message.ack", "message", "message.any"]) | VALUES},
    optional={"id": VALUES, "session": st.just(SESSION) | VALUES, "payload": PAYLOADS | VALUES},
)
BODIES = (
    ENVELOPES.map(json.dumps)
    | VALUES.map(json.dumps)
    | st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), min_size=1
    )
)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(BODIES, min_size=20, max_size=40, unique=True))
def test_every_envelope_has_an_outcome(bodies: list[str]) -> None:
    """Handled or buried with a reason, at the first try; and the daemon handles what is good after that."""
    with TemporaryDirectory() as folder:
        asyncio.run(_through_the_daemon(Path(folder) / "robotd.db", bodies))


async def _through_the_daemon(place: Path, bodies: list[str]) -> None:
    async with told_world(place) as told:
        await told.campaign(1)
        for body in bodies:
            await told.put(Webhook(body, {"X-Webhook-Hmac": signature(told.key, body.encode())}))
        await told.home.quiet()
        outcomes = Counter(outcome for outcome, _ in await told.outcomes())
        assert outcomes["done"] + outcomes["rejected"] == len(bodies)
        assert outcomes["rejected"] == len(told.letters()) == len(told.home.sqs.bodies(f"{TOLD}-dlq"))
        assert {kind for kind, _ in told.letters()} <= {"invalid-event"}
        await told.write(chat(3), "stop")
        assert chat(3) in await told.opted_out()
