"""What the request log holds, asked over the REST API as any client would."""

import base64
import hashlib
import http.client
import json
from collections.abc import Iterator
from decimal import Decimal
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

PAGE = 500


class ReadBack:
    """Reads from one backend. Numbers with a point come as `Decimal`, with every digit that was sent."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def get(self, path: str, **query: Any) -> Any:
        self._connection.request("GET", f"{path}?{urlencode(query)}" if query else path)
        with self._connection.getresponse() as reply:
            text = reply.read().decode()
        if reply.status != 200:
            raise RuntimeError(f"GET {path} answered {reply.status}: {text}")
        return json.loads(text, parse_float=Decimal)

    def requests(self) -> Iterator[dict[str, Any]]:
        """All rows, oldest first."""
        cursor = ""
        while True:
            page = self.get("/v1/requests", limit=PAGE, order="oldest", cursor=cursor)
            yield from page["requests"]
            cursor = page["next_cursor"]
            if not cursor:
                return

    def totals(self) -> tuple[int, Decimal]:
        """How many requests, and what they cost together."""
        total = self.get("/v1/costs")["total"]
        return total["requests"], Decimal(total["cost_usd"] or 0)

    def body_sha256(self, request_id: str) -> str:
        """Of the archived reply."""
        body = self.get(f"/v1/requests/{request_id}/exchange")["response_body"]
        if isinstance(body, dict):
            return hashlib.sha256(base64.b64decode(body["base64"])).hexdigest()
        return hashlib.sha256(body.encode()).hexdigest()
