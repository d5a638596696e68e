"""The typed client of the REST routes. httpx stays behind this package."""

import datetime
import ipaddress
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import msgspec

from heli.client import faults
from heli.client.light_httpx import httpx
from heli.client.records import CostReport, CostRow, ExchangeView, RequestPage, Spend
from heli.client.repricing import reprice_events
from heli.schema.conversation import Conversation
from heli.schema.heartbeat import Gateways, GatewaySpool
from heli.schema.repricing import RepriceProgress, RepriceReport
from heli.schema.request import Request
from heli.schema.session import Session

CONNECT_S = 3.0
ANSWER_S = 30.0
SILENCE_S = 120.0
"""How long a run that tells its progress may be silent."""
PAGE = 500


class Client:
    """Asks one backend. Raises `HeliError` children only: unreachable, not found, wrong usage, …

    `transport` is for tests and for calling an app in-process.
    """

    def __init__(
        self, base_url: str, transport: httpx.BaseTransport | None = None, answer_s: float = ANSWER_S
    ) -> None:
        self.base_url = base_url.rstrip("/")
        with faults.told(base_url):
            self._http = httpx.Client(
                base_url=self.base_url,
                transport=transport,
                timeout=httpx.Timeout(answer_s, connect=CONNECT_S),
                # A proxy from the environment, which may be heli itself, has no business on this machine.
                trust_env=not _is_loopback(base_url),
            )

    def requests(
        self,
        filter: str = "",
        *,
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        order: str = "newest",
        side_calls: bool = True,
    ) -> RequestPage:
        """One page of requests that match, `order` being `newest` or `oldest` first."""
        return self._get(
            "/v1/requests",
            RequestPage,
            filter=filter,
            since=_rfc3339(since),
            until=_rfc3339(until),
            limit=limit,
            cursor=cursor,
            order=order,
            side_calls=None if side_calls else "false",
        )

    def every_request(
        self,
        filter: str = "",
        *,
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        limit: int | None = None,
        order: str = "newest",
        side_calls: bool = True,
    ) -> Iterator[Request]:
        """All requests that match, or the first `limit` of them, fetched page by page."""
        cursor, left = None, limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self.requests(
                filter,
                since=since,
                until=until,
                limit=size,
                cursor=cursor,
                order=order,
                side_calls=side_calls,
            )
            yield from page.requests
            left = None if left is None else left - len(page.requests)
            cursor = page.next_cursor
            if not cursor or not page.requests:
                return

    def request(self, ref: str) -> Request:
        """The request of an id, a unique beginning of one, `@last` or `@-2`."""
        return self._get(f"/v1/requests/{_quote(ref)}", Request)

    def exchange(self, ref: str) -> ExchangeView:
        """What crossed the wire; `NotFoundError` when the bodies were not kept."""
        return self._get(f"/v1/requests/{_quote(ref)}/exchange", ExchangeView)

    def conversation(self, ref: str) -> Conversation:
        return self._get(f"/v1/requests/{_quote(ref)}/conversation", Conversation)

    def session(self, id: str) -> Session:
        """A session as a tree. Raises `NotFoundError`."""
        return self._get(f"/v1/sessions/{quote(id, safe='')}", Session)

    def costs(
        self,
        by: Sequence[str],
        filter: str = "",
        *,
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        time_zone: str = "",
    ) -> CostReport:
        """Costs grouped by `model`, `day`, …; days are those of `time_zone`, an IANA name."""
        answer = self._get(
            "/v1/costs",
            _CostAnswer,
            by=",".join(by),
            filter=filter,
            since=_rfc3339(since),
            until=_rfc3339(until),
            tz=time_zone,
        )
        rows = [_cost_row(raw, answer.by) for raw in answer.rows]
        return CostReport(by=answer.by, rows=rows, total=answer.total)

    def gateways(self) -> list[GatewaySpool]:
        """The gateways that the backend has heard of lately, with what waits in their spools."""
        return self._get("/v1/gateways", Gateways).gateways

    def reprice(
        self,
        filter: str = "",
        *,
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        table: tuple[str, str] | None = None,
        date: datetime.date | None = None,
        write: bool = False,
    ) -> Iterator[RepriceProgress | RepriceReport]:
        """Price calls again: progress, and a report at the end. `table` is `(name, text)` of a price file.

        Without `write` it only looks. Leaving the iterator stops it; what was written stays.
        """
        asked = _given(
            filter=filter,
            since=_rfc3339(since),
            until=_rfc3339(until),
            table=table and {"name": table[0], "text": table[1]},
            date=date and date.isoformat(),
            write=write or None,
        )
        timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
        with (
            faults.told(self.base_url),
            self._http.stream("POST", "/v1/reprice", json=asked, timeout=timeout) as response,
        ):
            if not response.is_success:
                response.read()
            faults.check(response)
            yield from reprice_events(response.iter_lines())

    def stream_live(self, filter: str, silence_s: float, side_calls: bool = True) -> Iterator[str]:
        """The lines of the live feed, once it is connected, which an empty first line tells."""
        timeout = httpx.Timeout(silence_s, connect=CONNECT_S)
        with (
            faults.told(self.base_url),
            self._http.stream(
                "GET",
                "/v1/live",
                params=_given(filter=filter, side_calls=None if side_calls else "false"),
                timeout=timeout,
                headers={"Accept": "text/event-stream"},
            ) as response,
        ):
            if not response.is_success:
                response.read()
            faults.check(response)
            yield ""
            yield from response.iter_lines()

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get[T](self, path: str, shape: type[T], **parameters: Any) -> T:
        with faults.told(self.base_url):
            response = self._http.get(path, params=_given(**parameters))
        faults.check(response)
        try:
            return msgspec.json.decode(response.content, type=shape)
        except msgspec.DecodeError as error:
            raise faults.unreadable(response, error) from error


class _CostAnswer(msgspec.Struct):
    by: list[str]
    rows: list[msgspec.Raw]
    """A spend with the group's keys among its fields."""
    total: Spend


def _cost_row(raw: msgspec.Raw, by: list[str]) -> CostRow:
    fields = msgspec.json.decode(raw, type=dict[str, Any])
    keys = {word: "" if fields.get(word) is None else str(fields[word]) for word in by}
    spend = msgspec.json.decode(raw, type=Spend)
    return CostRow(keys=keys, spend=spend, session_name=str(fields.get("session_name") or ""))


def _given(**parameters: Any) -> dict[str, Any]:
    """What was not given is not sent, so that the backend's own default holds."""
    return {name: value for name, value in parameters.items() if value not in (None, "")}


def _rfc3339(moment: datetime.datetime | None) -> str | None:
    return moment.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z") if moment else None


def _quote(ref: str) -> str:
    return quote(ref, safe="@-")


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
