"""The same call twice, straight to the provider and through heli: the client must not tell them apart."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from pydantic import BaseModel

from heli.schema.request import Request
from tests.clients.running_heli import RunningHeli
from tests.standin import StandIn

HELIS_OWN = {"helicone-id", "helicone-status"}
OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}

type Told = tuple[Any, Mapping[str, str]]
"""What a client made of a reply, and the reply's headers."""


class Ending(msgspec.Struct):
    """How a call ended for its client, in plain values that compare."""

    value: Any = None
    error: dict[str, Any] | None = None
    headers: list[tuple[str, str]] = []


class Passage(msgspec.Struct):
    """A call that went through heli, and what is known of it."""

    ending: Ending
    """The same as when it went straight to the provider."""
    request_id: str
    row: Request
    seconds: float
    """How long the client waited."""
    exchange: Any


def plain(value: Any) -> Any:
    """A client's object as JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude={"sdk_http_response"}, warnings="none")
    return [plain(item) for item in value] if isinstance(value, list) else value


class BothWays:
    """Makes calls both ways with one kind of client."""

    def __init__(self, direct: Any, through: Any, heli: RunningHeli, standin: StandIn) -> None:
        self.direct = direct
        self.through = through
        self.heli = heli
        self.standin = standin

    def __call__(
        self, call: Callable[[Any, dict[str, str]], Told], headers: Mapping[str, str] = {}, **scenario: Any
    ) -> Passage:
        """`call` gets a client and the headers to add; `scenario` is what the provider should do.

        Asserts that the endings are the same, and that the provider saw the same request.
        """
        expected, ending, request_id, seconds = self._make(call, headers, scenario)
        assert ending == expected
        straight, passed = self.standin.journal()
        assert seen(passed) == seen(straight)
        row = self.heli.logged(request_id)
        return Passage(ending, request_id, row, seconds, self.heli.client.exchange(request_id))

    def broken(
        self, call: Callable[[Any, dict[str, str]], Told], headers: Mapping[str, str] = {}, **scenario: Any
    ) -> tuple[dict[str, Any], dict[str, Any], Request]:
        """The errors, straight and through heli, of a call whose connection breaks, and its row.

        They may differ in how the broken connection shows, not in that the client is told of it.
        """
        expected, ending, request_id, _ = self._make(call, headers, scenario)
        assert expected.error is not None
        assert ending.error is not None
        return expected.error, ending.error, self.heli.logged(request_id)

    def _make(
        self,
        call: Callable[[Any, dict[str, str]], Told],
        headers: Mapping[str, str],
        scenario: dict[str, Any],
    ) -> tuple[Ending, Ending, str, float]:
        asked = {"x-standin": json.dumps(scenario)} if scenario else {}
        expected = ending_of(lambda: call(self.direct, asked))
        request_id = str(uuid.uuid4())
        started = time.monotonic()
        ending = ending_of(
            lambda: call(self.through, {**asked, "Helicone-Request-Id": request_id, **headers})
        )
        return expected, ending, request_id, time.monotonic() - started


def ending_of(call: Callable[[], Told]) -> Ending:
    try:
        value, headers = call()
    except Warning:
        raise
    except Exception as error:
        return Ending(error=described(error), headers=compared(getattr(error, "response", None)))
    return Ending(value=plain(value), headers=compared(headers))


def described(error: BaseException) -> dict[str, Any]:
    return {
        "class": f"{type(error).__module__}.{type(error).__qualname__}",
        "text": str(error),
        "status": getattr(error, "status_code", None),
        "body": getattr(error, "body", None),
        "cause": described(error.__cause__) if error.__cause__ else None,
    }


def compared(headers: Any) -> list[tuple[str, str]]:
    """The headers that must be the same both ways."""
    headers = getattr(headers, "headers", headers) or {}
    pairs = headers.multi_items() if hasattr(headers, "multi_items") else headers.items()
    lowered = [(name.lower(), value) for name, value in pairs]
    return [(name, value) for name, value in lowered if name not in HELIS_OWN | OF_ONE_CONNECTION]


def seen(entry: dict[str, Any]) -> dict[str, Any]:
    """What the provider saw of a request, as far as it must be the same both ways."""
    headers = [pair for pair in entry["headers"] if pair[0].lower() not in OF_ONE_CONNECTION]
    return {"headers": headers} | {
        name: entry[name] for name in ("method", "target", "body_sha256", "body_whole")
    }
