"""Whatever senders write, no word of theirs becomes a label."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from daemon.metrics import Metrics
from daemon.watch import Watch
from tests.parts import Delivered, done, parts, wishes

MARK = "qzx"
WORDS = st.text(alphabet=st.characters(codec="utf-8"), max_size=40).map(lambda text: MARK + text)
FIELDS = st.sampled_from(["specversion", "type", "id", "source", "time", "data", "robotId", "replyTo", "callref"])
BODIES = st.dictionaries(FIELDS, WORDS | st.integers() | st.dictionaries(FIELDS, WORDS), max_size=9)


@settings(max_examples=8, deadline=None)
@given(st.lists(BODIES, min_size=10, max_size=25))
def test_no_word_of_a_sender_becomes_a_label(bodies: Sequence[object]) -> None:
    """Whatever stands in a body that can't be read, it is counted as of an unknown type, once, and told to nobody."""
    text = asyncio.run(_text_after(bodies))
    assert MARK not in text
    count = f'{{outcome="rejected",queue="wishes",type="unknown"}} {len(bodies):.1f}'
    assert f"robotd_messages_processed_total{count}" in text


async def _text_after(bodies: Sequence[object]) -> str:
    metrics = Metrics()
    with TemporaryDirectory() as folder:
        async with parts(Path(folder)) as home:
            dispatcher = home.dispatcher(wishes(done), watch=Watch(metrics))
            for number, body in enumerate(bodies):
                await dispatcher.process(Delivered(body=json.dumps(body), id=f"d-{number}"))
    return generate_latest(metrics.registry).decode()
