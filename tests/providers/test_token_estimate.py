"""Estimates come near to what tokenizers count, and take bounded time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heli.providers.token_estimate import estimate_input, estimate_output, estimate_tokens
from heli.schema.conversation import Conversation, Message, Part, PartKind, ToolDefinition

PLAYGROUND = """Many words map to one token, but some don't: indivisible.

Unicode characters like emojis may be split into many tokens containing the underlying bytes: 🤚🏾

Sequences of characters commonly found next to each other may be grouped together: 1234567890"""

# Counts from OpenAI's tokenizer page and cookbook, o200k_base or cl100k_base.
PUBLISHED = [
    ("tiktoken is great!", 6),
    ("antidisestablishmentarianism", 6),
    ("2 + 2 = 4", 7),
    ("お誕生日おめでとう", 8),
    ("The quick brown fox jumps over the lazy dog.", 10),
    (PLAYGROUND, 53),
]


@pytest.mark.parametrize(("text", "tokens"), PUBLISHED, ids=[text[:20] for text, _ in PUBLISHED])
def test_estimates_come_within_a_third_of_published_counts(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == pytest.approx(tokens, rel=0.34)


def test_nothing_is_no_tokens() -> None:
    assert estimate_tokens("") == 0


@given(st.text(max_size=200), st.text(max_size=200))
def test_more_text_is_never_fewer_tokens(text: str, more: str) -> None:
    assert estimate_tokens(text + " " + more) >= estimate_tokens(text)


def test_a_long_text_is_judged_by_samples() -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 100_000

    started = time.process_time()
    tokens = estimate_tokens(text)

    assert time.process_time() - started < 0.5
    assert tokens == pytest.approx(10 * 100_000, rel=0.02)


def test_input_counts_everything_that_the_model_reads() -> None:
    word = Part(kind=PartKind.TEXT, text="word")
    message = Message(role="user", parts=[word])
    tool = ToolDefinition(name="look", description="Looks", parameters={"type": "object"})

    sizes = [
        estimate_input(Conversation(messages=[message])),
        estimate_input(Conversation(messages=[message, message])),
        estimate_input(Conversation(messages=[message, message], system=[word])),
        estimate_input(Conversation(messages=[message, message], system=[word], tools=[tool])),
    ]

    assert sizes == sorted(set(sizes))


def test_output_tells_thinking_apart() -> None:
    parts = [Part(kind=PartKind.THINKING, text="hm hm hm"), Part(kind=PartKind.TEXT, text="yes")]

    assert estimate_output([Message(role="assistant", parts=parts)]) == (1, 3)
