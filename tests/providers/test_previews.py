"""Previews are one line, safe to print, and say what matters."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from heli.providers import previews
from heli.schema.conversation import Conversation, Message, Part, PartKind


def _text(text: str) -> Part:
    return Part(kind=PartKind.TEXT, text=text)


def _call(name: str, arguments: str) -> Part:
    return Part(kind=PartKind.TOOL_CALL, name=name, text=arguments)


@given(st.text(max_size=2_000))
def test_a_preview_is_one_safe_line(text: str) -> None:
    line = previews.one_line(text)

    assert len(line) <= 300
    assert not any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in line)
    assert not set(line) & set("\u202e\u2066")


def test_a_long_text_ends_in_an_ellipsis() -> None:
    assert previews.one_line("word " * 100).endswith("…")


def test_escape_sequences_cannot_reach_the_terminal() -> None:
    assert previews.one_line("a\x1b[31mred\x07\nb") == "a [31mred b"


def test_the_last_user_message_is_shown() -> None:
    conversation = Conversation(
        messages=[
            Message(role="user", parts=[_text("first")]),
            Message(role="assistant", parts=[_text("answer")]),
            Message(role="user", parts=[_text("<reminder/>"), _text("second")]),
            Message(role="assistant", parts=[_text("prefilled")]),
        ]
    )

    assert previews.request_preview(conversation) == "second"


def test_words_go_before_the_images_and_files_beside_them() -> None:
    image, file = Part(kind=PartKind.IMAGE, media_type="image/png"), Part(kind=PartKind.FILE, name="a.pdf")
    shown = [
        previews.request_preview(Conversation(messages=[Message(role="user", parts=parts)]))
        for parts in (
            [_text("What is this?"), image],
            [image, _text("And this?"), image, file],
            [image, file],
        )
    ]

    assert shown == ["What is this?", "And this?", "[file]"]


def test_what_was_said_in_audio_are_words() -> None:
    spoken = Part(kind=PartKind.AUDIO, text="Good morning")
    messages = [Message(role="user", parts=[spoken, Part(kind=PartKind.IMAGE)])]

    assert previews.request_preview(Conversation(messages=messages)) == "Good morning"


def test_without_a_user_message_the_end_of_the_request_is_shown() -> None:
    conversation = Conversation(messages=[Message(role="system", parts=[_text("do it")])])

    assert previews.request_preview(conversation) == "do it"


def test_a_reply_shows_its_words_then_its_tools() -> None:
    reply = [Message(role="assistant", parts=[_call("look", '{"at": 1}'), _text("One moment")])]

    assert previews.response_preview(Conversation(reply=reply)) == 'One moment ⚒ look {"at": 1}'


def test_thinking_is_shown_when_there_is_nothing_else() -> None:
    thinking = Part(kind=PartKind.THINKING, text="Let me see")

    assert previews.response_preview(Conversation(reply=[Message(role="assistant", parts=[thinking])])) == (
        "Let me see"
    )


@given(st.lists(st.text(max_size=9_000), max_size=6))
def test_text_for_search_is_capped_and_keeps_the_newest(texts: list[str]) -> None:
    messages = [Message(role="user", parts=[_text(text)]) for text in texts]

    found = previews.request_text(Conversation(messages=messages))

    assert len(found.encode("utf-8", "replace")) <= previews.TEXT_BYTES
    joined = "\n".join(text for text in texts if text)
    assert joined.endswith(found)


def test_tools_are_named_in_order() -> None:
    reply = [Message(role="assistant", parts=[_call("b", ""), _text("x"), _call("a", "")])]

    assert previews.tool_names(Conversation(reply=reply)) == ["b", "a"]
