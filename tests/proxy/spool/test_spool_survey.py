from pathlib import Path

from spool_helpers import a_whole, an_opened, spool_settings

from heli.proxy.spool import survey
from heli.proxy.spool.backlog import Backlog
from heli.proxy.spool.batches import Batch
from heli.proxy.spool.segments import list_segments
from heli.proxy.spool.writer import Spool


def test_nothing_is_told_of_a_spool_that_is_not_there(tmp_path: Path) -> None:
    assert survey(tmp_path / "spool") == []


def test_it_tells_what_waits_and_how_long(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "spool" / "gateway-0", spool_settings(segment_bytes=1000))
    for number in range(10):
        spool.append(a_whole(number, started_ns=(1000 + number) * 10**9, end_us=500_000))
    spool.append(an_opened(99))
    spool.append(b"x" * 90_000_000, body_bytes=5)
    spool.close()
    letters = tmp_path / "dead-letters" / "gateway-0"
    letters.mkdir(parents=True)
    (letters / "some.exchange").touch()

    [status] = survey(tmp_path / "spool", now_s=1100.5)

    assert (status.worker, status.records, status.oldest_s) == ("gateway-0", 10, 100.0)
    assert status.bytes == sum(file.stat().st_size for file in spool.folder.glob("*.seg"))
    assert (status.dropped_records, status.dropped_bodies, status.dead_letters) == (1, 1, 1)


def test_what_was_acknowledged_waits_no_more(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "spool" / "gateway-0", spool_settings())
    for number in range(10):
        spool.append(a_whole(number, started_ns=number * 10**9, end_us=0))
    assert spool.wait_until_synced(10)
    backlog = Backlog(spool.folder)
    batch = backlog.gather()
    assert batch is not None
    first = Batch(batch.exchanges[:4])
    backlog.plan(first)
    backlog.acknowledge(first)

    [status] = survey(tmp_path / "spool", now_s=100.0)

    assert (status.records, status.oldest_s) == (6, 96.0)
    backlog.close()
    spool.close()


def test_damage_costs_the_survey_only_what_it_hits(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "spool" / "gateway-0", spool_settings())
    for number in range(3000):
        spool.append(a_whole(number, response_body=b"x" * 300))
    spool.close()
    [segment] = list_segments(spool.folder)
    content = bytearray(segment.file.read_bytes())
    content[700_000:700_100] = bytes(100)
    del content[-50:]
    segment.file.write_bytes(content)

    [status] = survey(tmp_path / "spool")

    assert 2995 <= status.records < 3000
