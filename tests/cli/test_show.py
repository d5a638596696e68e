"""`heli show`: the conversation, the facts under it, and what crossed the wire."""

import datetime
import json
import subprocess
import time
import uuid
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from heli.cli.conversation_text import ConversationText
from heli.schema.conversation import Conversation, Message, Part, PartKind, ToolDefinition
from heli.schema.errors import ExitCode
from heli.schema.usage import CostState, Usage
from tests.cli.fake_backend import a_request, a_uuid

TALK = Conversation(
    system=[Part(kind=PartKind.TEXT, text="Be brief.")],
    tools=[ToolDefinition(name="Read"), ToolDefinition(name="Edit")],
    messages=[
        Message(role="user", parts=[Part(kind=PartKind.TEXT, text="Please make the login test pass.")]),
        Message(
            role="assistant",
            parts=[
                Part(kind=PartKind.TEXT, text="I'll look at the test."),
                Part(
                    kind=PartKind.TOOL_CALL, name="Read", call_id="a", text='{"file": "tests/test_login.py"}'
                ),
                Part(
                    kind=PartKind.TOOL_CALL, name="Edit", call_id="b", text='{"file": "auth.py", "old": "x"}'
                ),
            ],
        ),
        Message(
            role="tool",
            parts=[
                Part(kind=PartKind.TOOL_RESULT, call_id="a", text="one\ntwo\nthree"),
                Part(kind=PartKind.TOOL_RESULT, call_id="b", text="no such file", is_error=True),
            ],
        ),
    ],
    reply=[Message(role="assistant", parts=[Part(kind=PartKind.TEXT, text="**Done**\n\nBye.")])],
)
EXCHANGE = {
    "method": "POST",
    "path": "/v1/chat/completions",
    "origin": "https://api.openai.com",
    "request_headers": [["Host", "localhost"], ["Authorization", "***"], ["X-Note", "it's"]],
    "request_body": '{"text": "it\'s"}',
    "response_status": 200,
    "response_headers": [["content-type", "application/json"]],
    "response_body": '{"ok": "\x1b[2J"}',
    "response_body_truncated": True,
}


def test_a_call_is_shown_as_a_conversation_with_its_facts(heli, backend):
    backend.conversation = TALK
    backend.requests = [
        a_request(
            is_streaming=True,
            duration_ms=9800.0,
            time_to_first_token_ms=1100.0,
            chunk_count=41,
            model="claude-sonnet-4-5",
            provider="ANTHROPIC",
            session_path="/2",
            usage=Usage(
                input_tokens=1298, cache_read_tokens=46912, cache_write_5m_tokens=0, output_tokens=811
            ),
            cost_usd=Decimal("0.0301326"),
            cost_parts_usd={
                "output_tokens": Decimal("0.012165"),
                "input_tokens": Decimal("0.003894"),
                "cache_read_tokens": Decimal("0.0140736"),
            },
            provider_request_id="req_011CR",
            service_tier="standard",
            rate_limits={"anthropic-ratelimit-requests-remaining": "3998"},
        )
    ]

    ran = heli("show", "@last")

    assert ran.code == ExitCode.OK
    lines = ran.out.splitlines()
    assert lines[0] == "00017f · claude-sonnet-4-5 · Anthropic · 2025-11-23 12:00:01 · session fix-login/2"
    shown = [line.rstrip() for line in lines]
    assert "tools      2: Read, Edit" in shown
    assert "system     Be brief." in shown
    assert "user       Please make the login test pass." in shown
    assert "assistant  I'll look at the test." in shown
    call = next(line for line in shown if "⚒ Read" in line)
    assert call.split() == ["⚒", "Read", "tests/test_login.py", "→", "3", "lines"]
    assert next(line for line in shown if "⚒ Edit" in line).endswith("→ error: no such file")
    assert "assistant  **Done**" in shown
    assert "tokens   input 1,298 · cache read 46,912 · cache write 5m 0 · output 811" in shown
    assert (
        "cost     $.003894 + $.0140736 + $.012165 = $.0301326   exact, genai-prices 0.2.3 2026-11-18" in shown
    )
    assert "time     first token 1.1s · took 9.8s · 93 tokens/s · 41 chunks" in shown
    assert "provider req_011CR  tier standard  remaining 3,998 requests" in shown


def test_tools_are_shown_in_full_on_request(heli, backend):
    edit = '{"file": "auth.py", "new": "def login():\\n    return \\"yes\\"", "lines": [1, 2]}'
    called = Part(kind=PartKind.TOOL_CALL, name="Write", call_id="c", text=edit)
    talk = [*TALK.messages, Message(role="assistant", parts=[called])]
    backend.conversation = msgspec.structs.replace(TALK, messages=talk)
    backend.requests = [a_request()]

    shown = [line.rstrip() for line in heli("show", "--full").out.splitlines()]

    begin = next(number for number, line in enumerate(shown) if "⚒ Read" in line)
    margin = " " * 11
    assert [line.removeprefix(margin) for line in shown[begin : begin + 11]] == [
        "⚒ Read",
        "  file: tests/test_login.py",
        "→",
        "  one",
        "  two",
        "  three",
        "⚒ Edit",
        "  file: auth.py",
        "  old: x",
        "→ error",
        "  no such file",
    ]
    begin = next(number for number, line in enumerate(shown) if "⚒ Write" in line)
    assert [line[11:] for line in shown[begin : begin + 6]] == [
        "⚒ Write",
        "  file: auth.py",
        "  new:",
        "    def login():",
        '        return "yes"',
        "  lines: [1, 2]",
    ]


def test_what_is_unknown_is_said_to_be(heli, backend):
    backend.requests = [
        a_request(
            usage=Usage(),
            cost_usd=None,
            cost_state=CostState.UNKNOWN,
            cost_reason="no price for x",
            duration_ms=None,
        )
    ]

    out = heli("show").out

    assert "tokens   ?\n" in out
    assert "cost     ?   no price for x\n" in out


def test_a_refused_call_leaves_out_what_it_has_not(heli, backend):
    backend.requests = [a_request(model="", provider="", session_id="")]

    assert heli("show").out.splitlines()[0] == "00017f · chat · 2025-11-23 12:00:01"


def test_the_readme_shows_a_call_as_heli_does(heli, backend):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    at = datetime.datetime(2026, 11, 23, 17, 28, 40).astimezone()
    told = {"created_at": at, "session_id": "", "time_to_first_token_ms": None}
    backend.requests = [a_request(id=uuid.UUID("0e0934" + 26 * "0"), **told)]

    out = heli("show").out.splitlines()

    assert f"$ heli show @last\n{out[0]}\n" in readme
    assert f"\n{next(line for line in out if line.startswith('time '))}\n" in readme


def test_a_failed_call_says_how(heli, backend):
    backend.requests = [a_request(status=429, error_class="rate_limit", error_message="slow down")]

    assert "status   429 · rate_limit · slow down\n" in heli("show").out


@pytest.mark.parametrize("form", [[], ["--full"], ["--raw"], ["--headers"], ["--curl"], ["-o", "json"]])
def test_captured_text_cannot_steer_the_terminal(heli, backend, form):
    evil = "a\x1b[2Jb\u202ec\x9bd\x07"
    backend.conversation = Conversation(
        messages=[
            Message(
                role=evil,
                parts=[
                    Part(kind=PartKind.TEXT, text=evil),
                    Part(kind=PartKind.TOOL_CALL, name=evil, text=evil, call_id="a"),
                    Part(kind=PartKind.IMAGE, url=evil),
                ],
            ),
            Message(role="tool", parts=[Part(kind=PartKind.TOOL_RESULT, call_id="a", text=evil)]),
        ]
    )
    fields = {
        "path": f"/{evil}",
        "request_body": evil,
        "response_body": evil,
        "request_headers": [[evil, evil]],
    }
    backend.exchange = EXCHANGE | fields
    backend.requests = [a_request(model=evil, session_id=evil, properties={evil: evil}, error_message=evil)]

    ran = heli("show", *form)

    assert ran.code == ExitCode.OK
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(ran.out)


def test_markdown_is_rendered_in_colour(heli, backend):
    backend.conversation, backend.requests = TALK, [a_request()]

    out = heli("show", "--color", "always").out

    assert "**Done**" not in out
    assert "\x1b[1mDone" in out


def test_colours_can_be_refused_and_forced_by_the_environment(heli, backend, monkeypatch):
    backend.conversation, backend.requests = TALK, [a_request()]
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in heli("show").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in heli("show").out


def test_raw_shows_both_heads_and_bodies(heli, backend):
    backend.requests, backend.exchange = [a_request()], EXCHANGE

    out = heli("show", "--raw").out

    assert out == (
        "POST /v1/chat/completions   api.openai.com\n"
        "Host: localhost\nAuthorization: ***\nX-Note: it's\n\n"
        '{"text": "it\'s"}\n\n'
        "200\ncontent-type: application/json\n\n"
        '{"ok": "␛[2J"}\n[the rest was not kept]\n'
    )
    assert "it's\n" in heli("show", "--headers").out
    assert "text" not in heli("show", "--headers").out


def test_curl_makes_the_same_call_with_the_key_of_whoever_runs_it(heli, backend):
    backend.requests = [a_request()]
    backend.exchange = EXCHANGE | {"request_body": '{"text": "it\'s\\n\ttab \x1b ü"}'}

    command = heli("show", "--curl").out

    script = "curl() { printf '%s\\n' \"$@\"; }; OPENAI_API_KEY=mine;" + command
    words = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert words == (
        "-X\nPOST\nhttps://api.openai.com/v1/chat/completions\n"
        "-H\nAuthorization: Bearer mine\n-H\nX-Note: it's\n"
        '--data-raw\n{"text": "it\'s\\n\ttab \x1b ü"}\n'
    )


def test_json_tells_everything(heli, backend):
    backend.conversation, backend.requests = TALK, [a_request()]

    tree = json.loads(heli("show", "-o", "json").out)

    assert tree["id"] == str(a_uuid(1))
    assert tree["conversation"]["messages"][0]["parts"][0]["text"] == "Please make the login test pass."
    assert json.loads(heli("show", "@last", "--json", "cost_usd,usage.total_tokens").out) == {
        "cost_usd": 0.0001272,
        "usage.total_tokens": 1012,
    }


def test_the_conversation_is_a_field_too(heli, backend):
    backend.conversation, backend.requests = TALK, [a_request()]

    tree = json.loads(heli("show", "--json", "conversation,model").out)

    assert tree["model"] == "gpt-4o-mini"
    assert tree["conversation"]["messages"][0]["parts"][0]["text"] == "Please make the login test pass."


def test_a_field_that_is_not_there_is_said_in_a_few_words(heli, backend):
    backend.requests = [a_request()]

    for name, told in (("conversatoin", "mean 'conversation'"), ("nofield", "fields: id")):
        ran = heli("show", "--json", name)
        assert ran.code == ExitCode.USAGE
        assert told in ran.err
        assert "-o json" in ran.err
        assert max(len(line) for line in ran.err.splitlines()) < 300


def test_references(heli, backend):
    backend.requests = [a_request(1), a_request(2)]

    assert heli("show", "@-2").out.startswith("00017f")
    assert heli("show", str(a_uuid(2))).out.startswith("00027f")
    missing = heli("show", "ffff")
    assert (missing.code, missing.err) == (
        ExitCode.NOT_FOUND,
        "heli: there is no request 'ffff'\n      heli logs lists them\n",
    )
    assert heli("show", "000").code == ExitCode.CONFLICT


@pytest.mark.parametrize("ref", ["", "a/b", "a?b", "../costs"])
def test_what_can_be_no_reference_is_not_asked_for(heli, backend, ref):
    ran = heli("show", ref)

    assert (ran.code, backend.asked) == (ExitCode.USAGE, [])
    assert f"{ref!r} is no reference to a call" in ran.err


def test_contradictions_are_refused(heli, backend):
    assert heli("show", "--raw", "--curl").code == ExitCode.USAGE
    assert heli("show", "-o", "csv").code == ExitCode.USAGE


def test_a_line_without_end_is_wrapped_in_no_time():
    endless = json.dumps({"rows": ["ä" * 7] * 20_000}, ensure_ascii=False)
    code = "        " + "a" * 200
    said = [Part(kind=PartKind.TEXT, text=f"{endless}\n{code}\n  two words")]
    talk = Conversation(messages=[Message(role="user", parts=said)])

    began = time.process_time()
    text = ConversationText(talk, 78, is_colored=False, is_full=True).write()
    assert time.process_time() - began < 2

    lines = [line[11:] for line in text.splitlines()]
    assert max(map(len, lines)) <= 67
    first = next(number for number, line in enumerate(lines) if line.startswith("        a"))
    assert " ".join(lines[:first]) == endless
    assert "".join(lines[first:-1]) == code
    assert lines[-1] == "  two words"
