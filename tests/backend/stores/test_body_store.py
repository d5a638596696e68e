"""The contract of a body store, run on every implementation, and what packs add to it."""

import datetime
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from heli.backend.stores.bodies import BodyStore
from heli.backend.stores.errors import StoreError
from heli.backend.stores.packed_bodies import PackedBodyStore
from heli.schema.errors import NotFoundError, UnreachableError

MONDAY = datetime.date(2026, 11, 2)
TUESDAY = datetime.date(2026, 11, 3)


class Calendar:
    """Today, as the test wants it."""

    def __init__(self) -> None:
        self.day = MONDAY

    def __call__(self) -> datetime.date:
        return self.day


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture(params=["packs"])
def bodies(request: pytest.FixtureRequest, tmp_path: Path, calendar: Calendar) -> BodyStore:
    """Each implementation in turn, empty."""
    stores: dict[str, Callable[[], BodyStore]] = {
        "packs": lambda: PackedBodyStore(tmp_path / "bodies", calendar)
    }
    return stores[request.param]()


def items_of(*bodies: bytes) -> list[tuple[uuid.UUID, bytes]]:
    return [(uuid.uuid4(), body) for body in bodies]


# The contract.


def test_what_is_put_can_be_got(bodies: BodyStore) -> None:
    contents = [b"", b"a", os.urandom(100_000), b"\xf5BDY" * 100, b"x" * 5_000_000]

    refs = bodies.put_many(items_of(*contents))

    assert [bodies.get(ref) for ref in refs] == contents
    assert len(set(refs)) == len(refs)
    assert all(len(ref) < 100 for ref in refs)


def test_nothing_put_is_no_reference(bodies: BodyStore) -> None:
    assert bodies.put_many([]) == []
    assert list(bodies.iterate()) == []


def test_the_same_id_put_again_gets_another_reference(bodies: BodyStore) -> None:
    id = uuid.uuid4()

    (first,) = bodies.put_many([(id, b"once")])
    (second,) = bodies.put_many([(id, b"again")])

    assert (bodies.get(first), bodies.get(second)) == (b"once", b"again")


def test_iterate_tells_every_item_with_the_reference_it_was_given(
    bodies: BodyStore, calendar: Calendar
) -> None:
    items = items_of(b"one", b"two", b"three")
    calendar.day = TUESDAY
    refs = bodies.put_many(items[2:])
    calendar.day = MONDAY
    refs = bodies.put_many(items[:2]) + refs

    assert [tuple(body) for body in bodies.iterate()] == [
        (ref, id, data) for ref, (id, data) in zip(refs, items, strict=True)
    ]


@pytest.mark.parametrize(
    "ref", ["", "nonsense", "2026-11-02/0123456789ab/14", "../../etc/passwd/0", "2026-11-02/../x/0"]
)
def test_a_reference_to_nothing_is_not_found(bodies: BodyStore, ref: str) -> None:
    with pytest.raises(NotFoundError, match="body"):
        bodies.get(ref)


def test_days_are_deleted_whole_and_only_those_before(bodies: BodyStore, calendar: Calendar) -> None:
    (old,) = bodies.put_many(items_of(os.urandom(1000)))
    calendar.day = TUESDAY
    (new,) = bodies.put_many(items_of(b"new"))

    freed = bodies.delete_before(TUESDAY)

    assert freed > 1000
    assert bodies.get(new) == b"new"
    with pytest.raises(NotFoundError):
        bodies.get(old)
    assert bodies.delete_before(TUESDAY) == 0


def test_a_day_can_be_written_again_after_it_was_deleted(bodies: BodyStore) -> None:
    bodies.put_many(items_of(b"old"))
    bodies.delete_before(TUESDAY)

    (ref,) = bodies.put_many(items_of(b"new"))

    assert bodies.get(ref) == b"new"


def test_many_threads_put_at_once(bodies: BodyStore) -> None:
    batches = [items_of(*(os.urandom(200) for _ in range(5))) for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(bodies.put_many, batches))

    for items, refs in zip(batches, answers, strict=True):
        assert [bodies.get(ref) for ref in refs] == [data for _, data in items]
    assert len(list(bodies.iterate())) == 100


# Packs.


def the_pack(folder: Path) -> Path:
    (pack,) = folder.glob("*/*.pack")
    return pack


def test_a_torn_tail_is_passed_over_and_the_rest_is_whole(tmp_path: Path) -> None:
    refs = PackedBodyStore(tmp_path).put_many(items_of(b"first" * 100, b"second" * 100))
    pack = the_pack(tmp_path)
    whole = pack.read_bytes()

    for cut in range(1, len(whole) - int(refs[1].split("/")[2]) + 1):
        pack.write_bytes(whole[:-cut])
        reopened = PackedBodyStore(tmp_path)
        assert [body.ref for body in reopened.iterate()] == refs[:1]
        with pytest.raises(StoreError, match="damaged"):
            reopened.get(refs[1])


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    contents = [b"first" * 10, b"second" * 10, b"third" * 10]
    refs = PackedBodyStore(tmp_path).put_many(items_of(*contents))
    pack = the_pack(tmp_path)
    whole = pack.read_bytes()
    starts = [int(ref.split("/")[2]) for ref in refs]

    for at in range(starts[1], starts[2]):
        pack.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        reopened = PackedBodyStore(tmp_path)
        with pytest.raises(StoreError, match="damaged"):
            reopened.get(refs[1])
        assert [body.data for body in reopened.iterate()] == [contents[0], contents[2]]


def test_a_process_never_writes_into_a_pack_of_another_one(tmp_path: Path) -> None:
    PackedBodyStore(tmp_path).put_many(items_of(b"mine"))
    PackedBodyStore(tmp_path).put_many(items_of(b"yours"))

    assert len(list(tmp_path.glob("*/*.pack"))) == 2
    assert {body.data for body in PackedBodyStore(tmp_path).iterate()} == {b"mine", b"yours"}


def test_a_full_pack_is_followed_by_another(tmp_path: Path) -> None:
    bodies = PackedBodyStore(tmp_path, max_pack_bytes=1000)

    refs = [ref for _ in range(5) for ref in bodies.put_many(items_of(os.urandom(600)))]

    assert len(list(tmp_path.glob("*/*.pack"))) == 3
    assert len([bodies.get(ref) for ref in refs]) == 5


def test_a_folder_that_cannot_be_written_is_told_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "bodies"
    folder.write_text("a file is in the way")
    bodies = PackedBodyStore(folder)

    with pytest.raises(UnreachableError, match="cannot be written"):
        bodies.put_many(items_of(b"x"))

    folder.unlink()
    (ref,) = bodies.put_many(items_of(b"x"))
    assert bodies.get(ref) == b"x"


FULL_DISK = """
import os, resource, sys, uuid
from pathlib import Path
from heli.backend.stores.packed_bodies import PackedBodyStore
from heli.schema.errors import UnreachableError
bodies = PackedBodyStore(Path(sys.argv[1]))
small, big = os.urandom(30_000), os.urandom(60_000)
refs = bodies.put_many([(uuid.uuid4(), small)])
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))
for _ in range(5):
    try:
        bodies.put_many([(uuid.uuid4(), small[:100]), (uuid.uuid4(), big)])
    except UnreachableError as error:
        assert "File too large" in error.message, error.message
    else:
        sys.exit("it fitted")
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
refs += bodies.put_many([(uuid.uuid4(), big)])
assert [bodies.get(ref) for ref in refs] == [small, big]
assert [body.ref for body in bodies.iterate()] == refs
print(len(list(Path(sys.argv[1]).glob("*/*.pack"))))
"""


def test_a_full_disk_keeps_nothing_of_a_batch_and_leaves_no_litter(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert (ended.stderr, ended.stdout) == ("", "2\n")


def test_packs_are_private(tmp_path: Path) -> None:
    PackedBodyStore(tmp_path / "bodies").put_many(items_of(b"x"))
    pack = the_pack(tmp_path / "bodies")

    assert pack.stat().st_mode & 0o777 == 0o600
    assert pack.parent.stat().st_mode & 0o777 == 0o700


WRITER = """
import sys, uuid
from pathlib import Path
from heli.backend.stores.packed_bodies import PackedBodyStore
bodies = PackedBodyStore(Path(sys.argv[1]))
while True:
    items = [(uuid.uuid4(), uuid.uuid4().bytes * 2000) for _ in range(10)]
    refs = bodies.put_many(items)
    for ref, (id, data) in zip(refs, items):
        print(ref, data[:16].hex(), flush=True)
"""


def test_what_was_acknowledged_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(200)]
    time.sleep(0.003)
    writer.send_signal(signal.SIGKILL)
    lines += writer.stdout.readlines()
    writer.wait()
    writer.stdout.close()

    bodies = PackedBodyStore(tmp_path)
    acknowledged = [line.split() for line in lines if line.endswith("\n")]
    assert len(acknowledged) >= 200
    assert [bodies.get(ref)[:16].hex() for ref, _ in acknowledged] == [data for _, data in acknowledged]
    assert len(list(bodies.iterate())) >= len(acknowledged)
