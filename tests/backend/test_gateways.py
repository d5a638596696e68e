"""Gateways are known while they are heard of, summed over their workers, and forgotten when silent."""

import asyncio

import msgspec
import pytest

from heli.backend.gateways import MOST_GATEWAYS, SILENCE_S, HeardGateways
from heli.backend.live import LiveHub
from heli.schema.errors import UsageError
from heli.schema.heartbeat import Heartbeat, WorkerSpool


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def a_worker(index: int = 0, **fields: int | float | None) -> WorkerSpool:
    known = {
        "records": 0, "bytes": 0, "oldest_s": None, "dropped_records": 0, "dropped_bodies": 0,
        "lost_records": 0, "lost_bytes": 0, "dead_letters": 0,
    }  # fmt: skip
    return WorkerSpool(worker=f"gateway-{index}", **(known | fields))


def a_beat(gateway: str = "one", *workers: WorkerSpool) -> bytes:
    return msgspec.json.encode(Heartbeat(gateway=gateway, host=f"host-{gateway}", workers=list(workers)))


def test_all_workers_of_all_gateways_are_summed() -> None:
    async def totals() -> None:
        hub = LiveHub(lambda _, told: told, Clock())
        assert (hub.totals().gateways, hub.totals().spool_records) == (0, None)

        first = a_worker(0, records=3, oldest_s=1.5, dropped_records=2)
        hub.gateways.hear(a_beat("one", first, a_worker(1, records=4, oldest_s=9.0)))
        hub.gateways.hear(a_beat("two", a_worker(0, dead_letters=1)))
        told = hub.totals()

        assert (told.gateways, told.spool_records, told.spool_lag_s) == (2, 7, 9.0)
        assert (told.dropped_records, told.dead_letters) == (2, 1)

    asyncio.run(totals())


def test_a_gateway_tells_again_and_replaces_what_it_told() -> None:
    heard = HeardGateways(Clock())
    heard.hear(a_beat("one", a_worker(records=3)))
    heard.hear(a_beat("one", a_worker(records=1)))

    (gateway,) = heard.told().gateways
    assert (gateway.host, gateway.workers[0].records) == ("host-one", 1)


def test_a_silent_gateway_is_forgotten() -> None:
    clock = Clock()
    heard = HeardGateways(clock)
    heard.hear(a_beat("one"))
    clock.now += SILENCE_S - 1
    heard.hear(a_beat("two"))
    assert [each.heard_s_ago for each in heard.told().gateways] == [SILENCE_S - 1, 0.0]

    clock.now += 2
    assert [each.gateway for each in heard.told().gateways] == ["two"]


def test_gateways_are_bounded() -> None:
    heard = HeardGateways(Clock())
    for number in range(MOST_GATEWAYS + 5):
        heard.hear(a_beat(str(number)))
    heard.hear(a_beat("7", a_worker(records=1)))

    assert len(heard) == MOST_GATEWAYS
    assert sum(worker.records for worker in heard.workers()) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b'{"gateway": 1, "host": "", "workers": []}'])
def test_what_is_no_heartbeat_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError, match="does not parse"):
        HeardGateways(Clock()).hear(body)
