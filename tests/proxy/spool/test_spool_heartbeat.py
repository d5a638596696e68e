from pathlib import Path

from fake_backend import FakeBackend
from spool_helpers import a_whole, spool_settings, wait_until

from heli.proxy.spool.heartbeat import HeartbeatSender
from heli.proxy.spool.stopping import Stop
from heli.proxy.spool.writer import Spool


def sender(tmp_path: Path, url: str, stop: Stop) -> HeartbeatSender:
    return HeartbeatSender(tmp_path / "spool", tmp_path / "dead-letters", "me", url, "secret", stop)


def test_what_waits_in_each_folder_is_told_from_the_first_moment(tmp_path: Path) -> None:
    backend, stop = FakeBackend().start(), Stop()
    for name in ("gateway-0", "gateway-1"):
        spool = Spool.open(tmp_path / "spool" / name, spool_settings())
        assert spool.append(a_whole(1))
        assert spool.wait_until_synced(10)
        spool.close()

    thread = sender(tmp_path, backend.url, stop)
    thread.start()
    backend.wait_for(lambda: bool(backend.heartbeats))
    stop.ask()
    thread.join(10)
    backend.stop()

    assert not thread.is_alive()
    assert backend.heartbeats[0].gateway == "me"
    assert [(each.worker, each.records) for each in backend.heartbeats[0].workers] == [
        ("gateway-0", 1),
        ("gateway-1", 1),
    ]


def test_nobody_there_is_borne(tmp_path: Path) -> None:
    backend, stop = FakeBackend().start(), Stop()
    backend.stop()
    thread = sender(tmp_path, backend.url, stop)
    thread.start()
    backend.start()
    wait_until(lambda: bool(backend.heartbeats))
    stop.ask()
    thread.join(10)
    backend.stop()

    assert not thread.is_alive()
