"""The client against a transport that answers as the contract says."""

import datetime
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal

import httpx
import msgspec
import pytest

from heli.client import Client, Connected, Disconnected, LiveFeed
from heli.client.event_lines import read_events
from heli.schema.errors import (
    ConflictError,
    DeniedError,
    HeliError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from heli.schema.live import LiveEvent, LiveTotals
from heli.schema.usage import CostState, Usage

REQUEST = {
    "id": "7f3a91c2-0000-4000-8000-000000000001",
    "created_at": "2026-11-23T13:02:11.000250Z",
    "listener": "openai",
    "outcome": "complete",
    "provider": "OPENAI",
    "operation": "chat",
    "origin": "https://api.openai.com",
    "path": "/v1/chat/completions",
    "model": "gpt-4o-mini",
    "status": 200,
    "usage": {"input_tokens": 600, "cache_read_tokens": 400, "output_tokens": 12},
    "cost_state": "exact",
    "cost_usd": 0.000127200000000001,
    "a_field_of_the_future": [1, 2],
}


def a_client(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client("http://127.0.0.1:8585/", transport=httpx.MockTransport(answer))


def json_answer(tree: object, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, content=msgspec.json.encode(tree))


def test_a_request_is_read_with_all_digits_of_its_cost():
    body = msgspec.json.encode(REQUEST).replace(b"0.000127200000000001", b"0.000127200000000001234567")
    client = a_client(lambda request: httpx.Response(200, content=body))

    request = client.request("7f3a")

    assert request.cost_usd == Decimal("0.000127200000000001234567")
    assert request.cost_state is CostState.EXACT
    assert request.usage == Usage(input_tokens=600, cache_read_tokens=400, output_tokens=12)
    assert request.created_at.tzinfo is not None


def test_a_reference_cannot_leave_its_place_in_the_path():
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(200, content=msgspec.json.encode(REQUEST))

    a_client(answer).request("../x?y=1#z")
    a_client(answer).request("@-2")

    assert seen == ["/v1/requests/..%2Fx%3Fy%3D1%23z", "/v1/requests/@-2"]


def test_a_page_is_asked_for_with_what_was_given():
    def answer(request: httpx.Request) -> httpx.Response:
        assert dict(request.url.params) == {
            "filter": "status>=400 user:a&b",
            "since": "2026-11-23T00:00:00Z",
            "limit": "5",
            "order": "oldest",
        }
        return httpx.Response(200, content=msgspec.json.encode({"requests": [REQUEST], "next_cursor": None}))

    berlin = datetime.timezone(datetime.timedelta(hours=1))
    since = datetime.datetime(2026, 11, 23, 1, tzinfo=berlin)

    page = a_client(answer).requests("status>=400 user:a&b", since=since, limit=5, order="oldest")

    assert [request.model for request in page.requests] == ["gpt-4o-mini"]


def test_every_request_walks_the_pages():
    def answer(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("cursor", "0"))
        following = str(page + 1) if page < 2 else None
        tree = {"requests": [REQUEST | {"model": f"m{page}"}], "next_cursor": following}
        return httpx.Response(200, content=msgspec.json.encode(tree))

    client = a_client(answer)

    assert [request.model for request in client.every_request()] == ["m0", "m1", "m2"]
    assert [request.model for request in client.every_request(limit=2)] == ["m0", "m1"]


def test_costs_are_rows_with_keys():
    spend = {"requests": 3, "cost_usd": 0.00013, "unknown_cost_requests": 1, "input_tokens": 10}
    tree = {
        "by": ["model", "day"],
        "rows": [spend | {"model": "gpt-4o", "day": "2026-11-23"}],
        "total": spend,
    }

    report = a_client(json_answer(tree)).costs(["model", "day"])

    assert report.rows[0].keys == {"model": "gpt-4o", "day": "2026-11-23"}
    assert report.rows[0].spend.cost_usd == Decimal("0.00013")
    assert report.total.unknown_cost_requests == 1
    assert report.total.output_tokens is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, UsageError),
        (403, DeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (503, UnreachableError),
    ],
)
def test_an_error_of_the_backend_keeps_its_words(status, kind):
    answer = json_answer({"error": {"code": "x", "message": "no such request: 7f3a", "hint": "look"}}, status)

    with pytest.raises(kind) as raised:
        a_client(answer).request("7f3a")

    assert (raised.value.message, raised.value.hint) == ("no such request: 7f3a", "look")


def test_another_program_on_the_port_is_not_taken_for_heli():
    with pytest.raises(NotFoundError, match="answered 404") as raised:
        a_client(lambda request: httpx.Response(404, text="<html>nginx")).request("7f3a")
    assert "is that heli?" in raised.value.hint

    with pytest.raises(HeliError, match="cannot be read"):
        a_client(lambda request: httpx.Response(200, text="<html>hi")).request("7f3a")


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
def test_a_backend_that_is_not_there_is_unreachable(error):
    def answer(request: httpx.Request) -> httpx.Response:
        raise error("no")

    with pytest.raises(UnreachableError) as raised:
        a_client(answer).requests()

    assert "http://127.0.0.1:8585" in raised.value.message
    assert raised.value.hint


def test_the_hint_is_to_start_it():
    with pytest.raises(UnreachableError) as raised:
        Client("http://127.0.0.1:1").requests()

    assert "heli up" in raised.value.hint


@pytest.mark.parametrize("url", ["http://localhost:port", "localhost:8585"])
def test_a_url_that_is_none_is_said_to_be_wrong(url):
    with pytest.raises(UsageError, match="is not a URL"):
        Client(url).requests()


def test_events_are_read_as_the_standard_says():
    lines = [": keep-alive", "", "event: a", "data: 1", "data:2", "id: 3", "", "data", "", "event: lost"]

    assert list(read_events(lines)) == [("a", "1\n2"), ("message", "")]


def test_the_feed_connects_again_and_says_so():
    finished = msgspec.json.encode({"kind": "finished", "request": REQUEST}).decode()
    answers = iter(
        [
            httpx.Response(503, content=b'{"error": {"message": "starting", "code": "unreachable"}}'),
            httpx.Response(200, text='event: totals\ndata: {"in_flight": 1, "today_cost_usd": 4.21}\n\n'),
            httpx.Response(200, text=f"event: finished\ndata: {finished}\n\nevent: new\ndata: x\n\n"),
        ]
    )
    feed = LiveFeed(a_client(lambda request: next(answers)))

    items = []
    for item in feed.follow():
        items.append(item)
        if isinstance(item, LiveEvent):
            feed.close()

    assert [type(item) for item in items] == [
        Disconnected,
        Connected,
        LiveTotals,
        Disconnected,
        Connected,
        LiveEvent,
    ]
    assert items[0].reason == "starting"
    assert items[2].today_cost_usd == Decimal("4.21")
    assert items[-1].request.model == "gpt-4o-mini"


def test_the_feed_gives_up_on_what_trying_again_does_not_mend():
    answer = json_answer({"error": {"code": "bad_filter", "message": "unknown field", "hint": ""}}, 400)

    with pytest.raises(UsageError, match="unknown field"):
        list(LiveFeed(a_client(answer), "foo:bar").follow())


def test_httpx_is_imported_without_its_command_line():
    code = "import sys, heli.client; print([m for m in ('rich', 'click', 'pygments') if m in sys.modules])"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout == "[]\n"
