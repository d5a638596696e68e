"""A WebSocket is archived once and stored as a request for each response, each exactly once."""

import uuid
from collections import Counter
from collections.abc import Sequence

import pytest

from heli.backend.ingest.pipeline import Pipeline
from heli.backend.queries.costs import spend_report
from heli.backend.queries.exchange_view import load_exchange, view_exchange
from heli.backend.queries.request_list import list_requests
from heli.backend.queries.scope import Scope
from heli.backend.stores.errors import StoreError
from heli.backend.stores.packed_bodies import PackedBodyStore
from heli.backend.stores.request_log import LogRow, RequestLog
from heli.providers import PriceBook, find_call, interpret, read_conversation
from heli.providers.sockets.calls import calls_of
from heli.schema.errors import UnreachableError
from heli.schema.exchange import Exchange, Outcome, decode_exchanges
from heli.schema.usage import CostState
from tests.backend.backend_builders import an_exchange
from tests.providers.sockets.sockets import Capture, usage


def a_socket(responses: int = 3) -> Exchange:
    """A warm-up, and so many responses; compressed as Codex does."""
    capture = Capture("/v1/responses", deflate=True)
    capture.asks(0, type="response.create", model="gpt-5", input="hello", generate=False)
    capture.answers(1, "resp_0", text="", usage=usage(0, 0))
    for number in range(1, responses + 1):
        capture.asks(number * 100, type="response.create", model="gpt-5", input=f"question {number}")
        capture.answers(number * 100 + 10, f"resp_{uuid.uuid4().hex}", usage=usage(1000 * number, 10))
    made = capture.exchange()
    plain = an_exchange()
    known = {name: getattr(made, name) for name in Exchange.__struct_fields__}
    return Exchange(**known | {"id": plain.id, "started_ns": plain.started_ns})


def test_several_responses_of_an_open_socket_are_one_exchange_in_the_answer(pipeline: Pipeline) -> None:
    socket = a_socket(responses=3)

    first = pipeline.take([socket], are_open=True)
    again = pipeline.take([socket], are_open=True)

    assert len(first.requests) > 1
    assert (first.answer.stored, first.answer.duplicates) == (1, 0)
    assert (again.answer.stored, again.answer.duplicates) == (0, 1)


class CrashingLog:
    """A request log that refuses some rows, or whose process ends after so many inserts."""

    def __init__(self, log: RequestLog, poison: Sequence[uuid.UUID] = (), inserts: int = 1000) -> None:
        self._log = log
        self._poison = set(poison)
        self._left = inserts

    def insert(self, rows: Sequence[LogRow], token: str) -> None:
        if self._poison.intersection(row.request.id for row in rows):
            raise StoreError("a value does not fit")
        if self._left <= 0:
            raise UnreachableError("gone")
        self._left -= 1
        self._log.insert(rows, token)

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)


def test_each_response_is_stored_once_however_often_it_is_sent(
    pipeline: Pipeline, log: RequestLog, bodies: PackedBodyStore, scope: Scope, prices: PriceBook
) -> None:
    socket, plain = a_socket(3), an_exchange()

    first = pipeline.take([socket, plain])
    again = pipeline.take([socket, plain])

    assert (first.answer.stored, first.answer.duplicates) == (2, 0)
    assert (again.answer.stored, again.answer.duplicates, again.requests) == (0, 2, [])
    requests = {request.id: request for request in list_requests(log, scope).requests}
    assert requests.keys() == {call.request_id for call in calls_of(socket)} | {plain.request_id}
    assert {request.body_ref for request in requests.values()} == {
        requests[socket.request_id].body_ref,
        requests[plain.request_id].body_ref,
    }
    assert decode_exchanges(bodies.get(requests[socket.request_id].body_ref)) == [socket]
    spent = sum(interpret(call, prices).cost.total_usd or 0 for call in [*calls_of(socket), plain])
    total = spend_report(log, scope, []).total
    assert (total.requests, total.cost_usd, total.unknown_cost_requests) == (4, spent, 0)


def test_responses_are_stored_while_their_connection_goes_on(
    pipeline: Pipeline, log: RequestLog, bodies: PackedBodyStore, scope: Scope, prices: PriceBook
) -> None:
    whole = a_socket(4)
    known = {name: getattr(whole, name) for name in Exchange.__struct_fields__}
    so_far = [(at_us, size) for at_us, size in whole.response_chunks if at_us < 320_000]
    asked = [(at_us, size) for at_us, size in whole.request_chunks if at_us < 320_000]
    going_on = Exchange(
        **known
        | {
            "outcome": Outcome.INTERRUPTED,
            "end_us": None,
            "request_body": whole.request_body[: sum(size for _, size in asked)],
            "request_chunks": asked,
            "response_body": whole.response_body[: sum(size for _, size in so_far)],
            "response_chunks": so_far,
        }
    )

    for _ in range(2):
        pipeline.take([going_on], are_open=True)
    early = list_requests(log, scope, order="oldest").requests
    pipeline.take([whole])

    assert [request.request_preview for request in early] == ["hello", "question 1", "question 2"]
    requests = list_requests(log, scope, order="oldest").requests
    assert requests[:3] == early
    assert [request.id for request in requests] == [call.request_id for call in calls_of(whole)]
    assert all(request.outcome is Outcome.COMPLETE for request in requests)
    total = spend_report(log, scope, []).total
    assert total.cost_usd == sum(interpret(call, prices).cost.total_usd or 0 for call in calls_of(whole))
    for request in requests:
        (said,) = read_conversation(find_call(load_exchange(bodies, request), request.id.bytes)).messages
        assert said.parts[0].text == request.request_preview
        shown = view_exchange(request, load_exchange(bodies, request))
        assert b'"model":"gpt-5"' in bytes(shown.request_json)
        assert not shown.response_body_truncated


def test_what_one_connection_carries_is_one_session(
    pipeline: Pipeline, log: RequestLog, scope: Scope
) -> None:
    pipeline.take([a_socket(2), a_socket(2)])
    by_session = Counter(request.session_id for request in list_requests(log, scope).requests)
    assert sorted(by_session.values()) == [3, 3]
    assert "" not in by_session


@pytest.mark.parametrize("side", ["Request", "Response"])
def test_what_the_caller_wants_left_out_is_not_kept_of_a_socket(
    pipeline: Pipeline, log: RequestLog, bodies: PackedBodyStore, scope: Scope, side: str
) -> None:
    socket = a_socket(1)
    omit = (f"Helicone-Omit-{side}".encode(), b"true")
    known = {name: getattr(socket, name) for name in Exchange.__struct_fields__}
    headers = [*socket.request_headers, omit]

    pipeline.take([Exchange(**known | {"request_headers": headers})])

    requests = list_requests(log, scope, order="oldest").requests
    assert [request.operation for request in requests] == ["warm_up", "response"]
    assert requests[1].usage.total_input_tokens == 1000
    archived = load_exchange(bodies, requests[1])
    assert (archived.request_body == b"", archived.response_body == b"") == (
        side == "Request",
        side != "Request",
    )
    assert (requests[1].request_preview == "") == (side == "Request")
    assert (requests[1].response_preview == "") == (side == "Response")
    view_exchange(requests[1], archived)


def test_of_a_call_that_goes_on_nothing_is_stored(pipeline: Pipeline, log: RequestLog, scope: Scope) -> None:
    taken = pipeline.take([an_exchange(outcome=Outcome.INTERRUPTED, end_us=None)], are_open=True)
    assert (taken.answer.stored, list_requests(log, scope).requests) == (0, [])


def test_a_warm_up_is_logged_and_is_no_spend(pipeline: Pipeline, log: RequestLog, scope: Scope) -> None:
    pipeline.take([a_socket(0)])

    (request,) = list_requests(log, scope).requests

    assert (request.operation, request.cost_state, request.cost_usd) == ("warm_up", CostState.FREE, 0)
    assert spend_report(log, scope, []).total.requests == 0


def test_what_is_left_of_a_socket_after_a_crash_is_stored_with_the_next_try(
    log: RequestLog, bodies: PackedBodyStore, prices: PriceBook, organisation: uuid.UUID, scope: Scope
) -> None:
    socket = a_socket(6)
    ids = [call.request_id for call in calls_of(socket)]
    # The poison makes the batch be halved; the process ends between the halves.
    dying = CrashingLog(log, poison=[ids[-1]], inserts=1)
    with pytest.raises(UnreachableError):
        Pipeline(dying, bodies, prices, organisation).take([socket])  # type: ignore[arg-type]
    assert 0 < len(list_requests(log, scope).requests) < len(ids)

    Pipeline(log, bodies, prices, organisation).take([socket])

    stored = [request.id for request in list_requests(log, scope).requests]
    assert sorted(stored) == sorted(ids)


def test_a_response_that_no_store_takes_is_told_by_the_id_of_its_connection(
    log: RequestLog, bodies: PackedBodyStore, prices: PriceBook, organisation: uuid.UUID, scope: Scope
) -> None:
    socket, plain = a_socket(2), an_exchange()
    poison = [call.request_id for call in calls_of(socket)][1]

    taken = Pipeline(CrashingLog(log, [poison]), bodies, prices, organisation).take([socket, plain])  # type: ignore[arg-type]

    assert [rejected.id for rejected in taken.answer.rejected] == [socket.request_id]
    assert (taken.answer.stored, taken.answer.duplicates) == (1, 0)
    assert len(list_requests(log, scope).requests) == 3


def test_a_socket_that_tells_impossible_times_is_rejected_alone(pipeline: Pipeline) -> None:
    socket = a_socket(1)
    known = {name: getattr(socket, name) for name in Exchange.__struct_fields__}
    broken = Exchange(**known | {"response_chunks": [(2**62, len(socket.response_body))]})

    taken = pipeline.take([broken, an_exchange()])

    assert [rejected.id for rejected in taken.answer.rejected] == [socket.request_id]
    assert taken.answer.stored == 1
