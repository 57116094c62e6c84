"""Opt-outs: a keyword as the whole message or a sentence about messages, and nothing that residents say otherwise."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.opt_out import KEYWORDS, is_opt_out


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        " stop. ",
        "*Stop!*",
        "Stop please",
        "please, stop",
        "STOP \U0001f6d1",
        "Opt-out",
        "UNSUBSCRIBE",
        "StOpP",
        "Afmelden a.u.b.",
        "ABMELDEN, bitte",
        "berhenti",
        "Stop sending me messages",
        "Can you stop sending me these messages?",
        "please stop the messages",
        "I want you to stop texting me",
        "Stop met het sturen van berichten",
        "don\u2019t send me any more messages",
        "Do not text me",
        "I don't want to receive anything",
        "I don't want your messages",
        "I do not wish to receive more messages",
        "no more messages",
        "geen berichten meer",
        "Keine Nachrichten mehr!",
        "jangan kirim pesan lagi",
    ],
)
def test_who_wants_no_messages_is_heard(text: str) -> None:
    """Keywords in any case with signs and politeness around them; verb and object in a sentence."""
    assert is_opt_out(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "!",
        "please",
        "can you stop the pain?",
        "When does it stop?",
        "The bus stop is closed",
        "Please don't stop sending me messages",
        "Why did you stop sending me messages?",
        "I did not receive the messages",
        "I don't receive messages",
        "Thanks for the messages",
        "stop by and read my messages",
        "I want to unsubscribe from my newspaper",
        "No more pain since I got your message",
        "I stopped smoking",
        "non-stop",
        "stop " * 200 + "messages",
    ],
)
def test_what_people_say_otherwise_is_no_opt_out(text: str) -> None:
    """A keyword within a sentence, a wish for more, a letter."""
    assert not is_opt_out(text)


def test_the_keywords_are_the_caller_s() -> None:
    """More or other ones than ours may be given; each is compared as the message is."""
    assert is_opt_out("genoeg!", (*KEYWORDS, "GENOEG"))
    assert not is_opt_out("genoeg!")
    assert not is_opt_out("stop", ("genoeg",))


@settings(deadline=None)  # a busy machine
@given(st.text(max_size=400))
def test_any_text_has_an_answer(text: str) -> None:
    """Whatever comes in, it is one or it is not."""
    assert is_opt_out(text) in {True, False}
