"""heli's own routes: list, one by its reference, exchange, conversation, costs."""

import base64
import datetime
import json
import uuid
from decimal import Decimal

import msgspec
import pytest

from heli.schema.exchange import Outcome
from tests.backend.backend_builders import a_question, an_answer, an_exchange
from tests.backend.conftest import RunningBackend


def ids(page: dict[str, list[dict[str, str]]]) -> list[str]:
    return [request["id"] for request in page["requests"]]


def test_an_ingested_exchange_is_listed(backend: RunningBackend) -> None:
    exchange = an_exchange(headers=[(b"Helicone-User-Id", b"alice")])

    backend.send(exchange)

    (request,) = backend.get("/v1/requests")["requests"]
    assert request["id"] == str(exchange.request_id)
    assert (request["user_id"], request["status"], request["duration_ms"]) == ("alice", 200, 250.0)
    assert request["created_at"].endswith("Z")


def test_pages_meet_without_gap_or_overlap(backend: RunningBackend) -> None:
    same_moment = an_exchange().started_ns
    exchanges = [an_exchange() for _ in range(10)] + [an_exchange(started_ns=same_moment) for _ in range(9)]
    backend.send(*exchanges)

    for order in ("newest", "oldest"):
        seen: list[str] = []
        cursor = ""
        while cursor is not None:
            page = backend.get("/v1/requests", limit=4, cursor=cursor, order=order)
            seen += ids(page)
            cursor = page["next_cursor"]
        whole = ids(backend.get("/v1/requests", limit=1000, order=order))
        assert seen == whole
        assert len(seen) == len(set(seen)) == 19


def test_two_calls_of_one_id_are_each_shown(backend: RunningBackend) -> None:
    first = an_exchange(request_body=a_question("First"))
    a_second_later = {"id": first.id, "started_ns": first.started_ns + 10**9}
    backend.send(first)
    backend.send(an_exchange(request_body=a_question("Later"), **a_second_later))

    for order, asked in (("oldest", ["First", "Later"]), ("newest", ["Later", "First"])):
        listed = backend.get("/v1/requests", order=order)["requests"]
        assert [request["request_preview"] for request in listed] == asked


def test_new_requests_shift_no_page(backend: RunningBackend) -> None:
    old = [an_exchange() for _ in range(4)]
    backend.send(*old)
    first = backend.get("/v1/requests", limit=2)

    backend.send(an_exchange())
    second = backend.get("/v1/requests", limit=2, cursor=first["next_cursor"])

    assert ids(first) + ids(second) == [str(exchange.request_id) for exchange in reversed(old)]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["x", "AAAA", "é", "_" * 32, "A" * 31, "%00"])
def test_a_made_up_cursor_is_refused_or_harmless(backend: RunningBackend, cursor: str) -> None:
    response = backend.client.get("/v1/requests", params={"cursor": cursor})

    assert response.status_code in (200, 400)


def test_filter_since_and_until_hold_together(backend: RunningBackend) -> None:
    now = datetime.datetime.now(datetime.UTC)
    for age_hours, model in ((5, "gpt-4o"), (3, "gpt-4o"), (3, "gpt-4o-mini"), (0, "gpt-4o")):
        started = now - datetime.timedelta(hours=age_hours, minutes=5)
        backend.send(
            an_exchange(
                started_ns=int(started.timestamp()) * 10**9,
                request_body=a_question(model=model),
                response_body=an_answer(model=model),
            )
        )

    page = backend.get("/v1/requests", filter="model:gpt-4o", since="4h", until="1h")

    assert [request["model"] for request in page["requests"]] == ["gpt-4o"]
    assert page["requests"][0]["created_at"] < (now - datetime.timedelta(hours=3)).isoformat()


def test_a_filter_that_makes_no_sense_is_told_with_its_place(backend: RunningBackend) -> None:
    error = backend.get("/v1/requests", 400, filter="modle:gpt-4o")["error"]

    assert error["code"] == "bad_filter"
    assert "^" in error["message"]


@pytest.mark.parametrize("parameters", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"order": "random"}])
def test_parameters_out_of_bounds_are_refused(backend: RunningBackend, parameters: dict[str, str]) -> None:
    assert backend.get("/v1/requests", 422, **parameters)["error"]["code"] == "bad_input"


def test_a_request_is_found_by_any_reference(backend: RunningBackend) -> None:
    older, newer = an_exchange(), an_exchange()
    backend.send(older, newer)
    old_id, new_id = str(older.request_id), str(newer.request_id)

    for ref in (old_id, old_id.upper(), older.id.hex(), older.id.hex()[:12], old_id[:20], "@-2"):
        assert backend.get(f"/v1/requests/{ref}")["id"] == old_id
    for ref in ("@last", "@-1"):
        assert backend.get(f"/v1/requests/{ref}")["id"] == new_id


def test_counting_back_counts_the_calls_that_lists_show(backend: RunningBackend) -> None:
    first, listed, last = an_exchange(), an_exchange(method="GET", path="/v1/models"), an_exchange()
    backend.send(first, listed, last)

    assert backend.get("/v1/requests/@last")["id"] == str(last.request_id)
    assert backend.get("/v1/requests/@-2")["id"] == str(first.request_id)
    assert backend.get(f"/v1/requests/{listed.request_id}")["operation"] == "models"


def test_a_reference_that_fits_several_is_told_with_them(backend: RunningBackend) -> None:
    pair = [uuid.UUID(f"abcdef12-0000-4000-8000-00000000000{digit}") for digit in "12"]
    backend.send(*(an_exchange(id=id.bytes) for id in pair))

    error = backend.get("/v1/requests/abcdef12", 409)["error"]

    assert error["code"] == "ambiguous"
    assert all(str(id) in error["message"] for id in pair)
    assert backend.get("/v1/requests/abcdef12-0000-4000-8000-000000000002")["id"] == str(pair[1])


@pytest.mark.parametrize(
    ("ref", "status"),
    [
        ("@last", 404), ("@-3", 404), (str(uuid.UUID(int=5)), 404), ("abcd", 404), ("abc", 400), ("@-0", 400),
        ("@first", 400), ("xyzw", 400), ("0" * 33, 400), ("@-99999999", 400), ("%00%00", 400), ("----", 400),
    ],
)  # fmt: skip
def test_references_to_nothing(backend: RunningBackend, ref: str, status: int) -> None:
    assert backend.get(f"/v1/requests/{ref}", status)["error"]["message"]


def test_another_organisation_sees_nothing(backend: RunningBackend) -> None:
    exchange = an_exchange()
    backend.send(exchange)
    stranger = backend.parts.log.select(
        "SELECT count() AS n FROM request_response_rmt"
        " WHERE request_id = {id:UUID} AND organization_id != {org:UUID}",
        {"id": str(exchange.request_id), "org": str(backend.parts.organisation)},
    )

    assert stranger == [{"n": 0}]


def test_an_exchange_is_shown_decoded(backend: RunningBackend) -> None:
    body = a_question("héllo", seed=12345678901234567890123)
    exchange = an_exchange(
        request_body=body, response_chunks=[(200_000, 10), (210_000, 20)], request_body_bytes=9999
    )
    backend.send(exchange)

    response = backend.client.get("/v1/requests/@last/exchange")

    shown = response.json()
    assert shown["request_body"] == body.decode()
    assert shown["request_json"] == json.loads(body)
    assert b"12345678901234567890123" in response.content
    assert shown["response_json"] == json.loads(exchange.response_body)
    assert shown["request_headers"][0] == ["Content-Type", "application/json"]
    assert shown["chunks"] == [[200_000, 10], [210_000, 20]]
    assert (shown["request_body_truncated"], shown["response_body_truncated"]) == (True, False)


def test_bodies_that_are_no_text_are_shown_in_base64(backend: RunningBackend) -> None:
    backend.send(an_exchange(request_body=b"\x00\xff\xfe", response_body=b""))

    shown = backend.get("/v1/requests/@last/exchange")

    assert shown["request_body"] is None
    assert base64.b64decode(shown["request_body_base64"]) == b"\x00\xff\xfe"
    assert (shown["response_body"], shown["response_json"]) == (None, None)


def test_a_streamed_reply_is_put_together(backend: RunningBackend) -> None:
    pieces = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": word}}]}
        for word in ("Hi", " you")
    ]
    stream = b"".join(
        b"data: %b\n\n" % json.dumps({"id": "c", "model": "gpt-4o", **p}).encode() for p in pieces
    )
    backend.send(
        an_exchange(
            request_body=a_question(stream=True),
            response_headers=[(b"Content-Type", b"text/event-stream")],
            response_body=stream + b"data: [DONE]\n\n",
        )
    )

    shown = backend.get("/v1/requests/@last/exchange")
    conversation = backend.get("/v1/requests/@last/conversation")

    assert shown["response_json"]["choices"][0]["message"]["content"] == "Hi you"
    assert conversation["reply"][0]["parts"][0]["text"] == "Hi you"


def test_costs_are_exact_to_the_last_digit(backend: RunningBackend) -> None:
    counts = [(number, number * 7) for number in range(1, 200)]
    backend.send(*(an_exchange(response_body=an_answer(tokens=pair)) for pair in counts))

    response = backend.client.get("/v1/costs", params={"by": "model"})

    total = msgspec.json.decode(response.content, type=dict[str, msgspec.Raw])["total"]
    cost = msgspec.json.decode(total, type=dict[str, Decimal | None])["cost_usd"]
    expected = sum(Decimal("0.15") * asked + Decimal("0.60") * said for asked, said in counts) / 10**6
    assert cost == expected
    assert str(cost) == str(expected.normalize())


def test_unknown_costs_are_counted_and_not_summed(backend: RunningBackend) -> None:
    unpriced = {
        "request_body": a_question(model="nobody-knows"),
        "response_body": an_answer(model="nobody-knows"),
    }
    backend.send(an_exchange(), an_exchange(**unpriced), an_exchange(**unpriced))

    report = backend.get("/v1/costs", by="model")

    by_model = {row["model"]: row for row in report["rows"]}
    assert by_model["nobody-knows"]["cost_usd"] is None
    assert by_model["nobody-knows"]["unknown_cost_requests"] == 2
    assert report["total"]["cost_usd"] == by_model["gpt-4o-mini-2024-07-18"]["cost_usd"] == 0.00000315
    assert (report["total"]["requests"], report["total"]["unknown_cost_requests"]) == (3, 2)


def test_costs_of_nothing(backend: RunningBackend) -> None:
    report = backend.get("/v1/costs", by="model,day")

    assert report["rows"] == []
    assert (report["total"]["requests"], report["total"]["cost_usd"]) == (0, None)


def test_costs_by_several_things_at_once(backend: RunningBackend) -> None:
    for user, env in (("alice", "prod"), ("alice", "dev"), ("bob", "prod"), ("alice", "prod")):
        headers = [(b"Helicone-User-Id", user.encode()), (b"Helicone-Property-Env", env.encode())]
        backend.send(an_exchange(headers=headers))

    report = backend.get("/v1/costs", by="user,property:env,provider")

    found = {(row["user"], row["property:env"], row["provider"]): row["requests"] for row in report["rows"]}
    assert found == {
        ("alice", "prod", "OPENAI"): 2,
        ("alice", "dev", "OPENAI"): 1,
        ("bob", "prod", "OPENAI"): 1,
    }


def test_the_name_of_a_property_has_no_case(backend: RunningBackend) -> None:
    backend.send(an_exchange(headers=[(b"Helicone-Property-Ticket", b"9"), (b"Helicone-Cache-Seed", b"s")]))

    (row,) = backend.get("/v1/costs", by="property:Ticket,property:helicone-cache-seed")["rows"]

    assert (row["property:Ticket"], row["property:helicone-cache-seed"]) == ("9", "s")
    for filter in ("prop.Ticket:9", "prop:TICKET", "prop.ticket:9", "prop.helicone-cache-seed:s"):
        assert len(backend.get("/v1/requests", filter=filter)["requests"]) == 1


@pytest.mark.parametrize(
    ("zone", "day", "month", "hour"),
    [
        ("UTC", "2026-10-31", "2026-10", "2026-10-31T20:00:00+00:00"),
        ("Asia/Kolkata", "2026-11-01", "2026-11", "2026-11-01T02:00:00+05:30"),
        ("America/New_York", "2026-10-31", "2026-10", "2026-10-31T16:00:00-04:00"),
    ],
)
def test_days_are_those_of_the_time_zone(
    backend: RunningBackend, zone: str, day: str, month: str, hour: str
) -> None:
    moment = datetime.datetime(2026, 10, 31, 20, 45, tzinfo=datetime.UTC)
    backend.send(an_exchange(started_ns=int(moment.timestamp()) * 10**9))

    (row,) = backend.get("/v1/costs", by="day,month,hour", tz=zone)["rows"]

    assert (row["day"], row["month"], row["hour"]) == (day, month, hour)


def test_an_hour_that_comes_twice_is_two_hours(backend: RunningBackend) -> None:
    first = datetime.datetime(2026, 10, 25, 0, 30, tzinfo=datetime.UTC)
    for moment in (first, first + datetime.timedelta(hours=1)):
        backend.send(an_exchange(started_ns=int(moment.timestamp()) * 10**9))

    rows = backend.get("/v1/costs", by="hour", tz="Europe/Berlin")["rows"]

    assert [row["hour"] for row in rows] == ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"by": "colour"},
        {"by": "model,model"},
        {"by": "property:Team,property:team"},
        {"by": "property:"},
        {"tz": "Mars/Olympus"},
        {"tz": "../etc/passwd"},
        {"tz": ""},
        {"tz": "UTC'; DROP"},
        {"tz": "right/UTC", "by": "day"},
        {"by": "model) --"},
    ],
)
def test_costs_of_what_makes_no_sense(backend: RunningBackend, parameters: dict[str, str]) -> None:
    assert backend.get("/v1/costs", 400, **parameters)["error"]["code"] == "bad_input"


def test_a_property_is_never_sql(backend: RunningBackend) -> None:
    backend.send(an_exchange())

    (row,) = backend.get("/v1/costs", by="property:x'] OR 1=1 --")["rows"]

    assert row["property:x'] OR 1=1 --"] == ""


def test_a_call_that_broke_off_is_listed_with_its_outcome(backend: RunningBackend) -> None:
    backend.send(an_exchange(outcome=Outcome.CLIENT_ABORTED, response_status=None, response_body=b""))

    (request,) = backend.get("/v1/requests")["requests"]

    assert (request["outcome"], request["status"], request["error_class"]) == (
        "client_aborted",
        None,
        "client_aborted",
    )
