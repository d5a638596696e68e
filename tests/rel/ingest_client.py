"""Sends batches into ingest as the shipper does, and keeps the ledger."""

import hashlib
import http.client
import json
import random
import threading
import time
import uuid
from decimal import Decimal
from pathlib import Path

import zstandard

from heli.providers.interpretation import interpret
from heli.providers.pricing.price_book import PriceBook
from heli.schema.exchange import Exchange, Listener, Outcome, encode_exchanges
from heli.schema.paths import read_or_make_secret
from tests.rel.ledger import Ledger

BATCH = 20


def make_exchange(chance: random.Random) -> Exchange:
    """A chat with a usage of its own, so that every cost is different."""
    usage = {"prompt_tokens": chance.randrange(1, 100_000), "completion_tokens": chance.randrange(1, 9_000)}
    model = chance.choice(["gpt-4o", "gpt-4o-mini", "gpt-4.1"])
    message = {"role": "assistant", "content": chance.randbytes(chance.randrange(10, 400)).hex()}
    reply = json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }
    ).encode()
    request = json.dumps({"model": model, "messages": [{"role": "user", "content": "Go on."}]}).encode()
    headers = [(b"content-type", b"application/json")]
    return Exchange(
        id=uuid.UUID(int=chance.getrandbits(128), version=4).bytes,
        started_ns=time.time_ns(),
        listener=Listener.OPENAI,
        outcome=Outcome.COMPLETE,
        origin="https://api.openai.com",
        method="POST",
        path="/v1/chat/completions",
        request_headers=headers,
        request_body=request,
        request_body_bytes=len(request),
        response_status=200,
        response_headers=headers,
        response_body=reply,
        response_body_bytes=len(reply),
        first_byte_us=1_000,
        end_us=2_000,
    )


class IngestClient(threading.Thread):
    """Sends `rate` records a second until `stop`; a batch without an answer is sent again, the same."""

    def __init__(self, port: int, token: str, ledger: Ledger, chance: random.Random, rate: float) -> None:
        super().__init__(name="ingest-client")
        self._port = port
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/x-heli-exchanges",
            "Content-Encoding": "zstd",
        }
        self._ledger = ledger
        self._chance = chance
        self._pause_s = BATCH / rate
        self._prices = PriceBook.load(None)
        self._is_stopped = threading.Event()
        self.sent_again = 0
        self.error: Exception | None = None

    def stop(self) -> None:
        """No new batch; the one under way is sent until it is answered."""
        self._is_stopped.set()
        self.join()
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        try:
            due = time.monotonic()
            while not self._is_stopped.is_set():
                self._send([make_exchange(self._chance) for _ in range(BATCH)])
                due = max(due + self._pause_s, time.monotonic() - 5)
                time.sleep(max(0.0, due - time.monotonic()))
        except Exception as error:
            self.error = error

    def _send(self, exchanges: list[Exchange]) -> None:
        ids = [str(exchange.request_id) for exchange in exchanges]
        hashes = [hashlib.sha256(exchange.response_body).hexdigest() for exchange in exchanges]
        costs = [self._cost(exchange) for exchange in exchanges]
        self._ledger.invoke(
            ids, sha256=dict(zip(ids, hashes, strict=True)), cost=dict(zip(ids, costs, strict=True))
        )
        body = zstandard.compress(encode_exchanges(exchanges))
        deadline = time.monotonic() + 60
        while (answer := self._post(body, ids[0])) is None:
            self.sent_again += 1
            if time.monotonic() > deadline:
                raise TimeoutError("a batch was not taken within a minute")
            time.sleep(0.1)
        if answer["rejected"] or answer["stored"] + answer["duplicates"] != len(ids):
            raise AssertionError(f"ingest answered {answer} to {len(ids)} records")
        self._ledger.ok(ids)

    def _cost(self, exchange: Exchange) -> Decimal:
        cost = interpret(exchange, self._prices).cost.total_usd
        assert cost is not None, "the models of this test have prices"
        return cost

    def _post(self, body: bytes, batch: str) -> dict[str, int] | None:
        """The answer, `None` when there was none or an error that passes."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            connection.request("POST", "/v1/ingest", body, self._headers | {"Heli-Batch": batch})
            with connection.getresponse() as reply:
                text = reply.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if reply.status >= 500:
            return None
        if reply.status != 200:
            raise AssertionError(f"ingest answered {reply.status}: {text!r}")
        answer: dict[str, int] = json.loads(text)
        return answer


def read_token(home: Path) -> str:
    """The ingest token, which the first to ask for it makes."""
    return read_or_make_secret(home / "state" / "ingest-token")
