"""Calls that could not be stored are listed, shown, sent again and given up, with the backend's reason."""

import base64
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from heli.proxy.spool.dead_letters import bury
from heli.proxy.spool.ledger import Position
from heli.proxy.spool.reassembly import Finished
from heli.schema.errors import ExitCode
from heli.schema.exchange import Exchange
from tests.providers.exchanges import an_exchange
from tests.proxy.spool.fake_backend import FakeBackend


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBackend]:
    """A backend that takes whatever it is not told to reject."""
    backend = FakeBackend().start()
    monkeypatch.setenv("HELI_BACKEND__URL", backend.url)
    yield backend
    backend.stop()


def a_letter(home: Path, reason: str, worker: str = "gateway-0") -> Exchange:
    exchange = msgspec.structs.replace(an_exchange({"model": "gpt-4o"}, b"\xff\xfe"), id=uuid.uuid4().bytes)
    encoded = msgspec.Raw(msgspec.msgpack.encode(exchange))
    bury(home / "data" / "dead-letters", worker, Finished(exchange.id, encoded, Position(0, 0)), reason)
    return exchange


def test_they_are_listed_with_their_reasons(heli, home):
    first, second = a_letter(home, "no such month"), a_letter(home, "too \x1b[31mred", "gateway-1")

    plain = heli("dead-letters", "list").out.splitlines()
    told = json.loads(heli("dead-letters", "list", "--json", "id,worker,path,reason").out)

    assert len(plain) == 2
    assert plain[1].split("\t")[0] == str(second.request_id)
    assert "\x1b" not in "".join(plain)
    assert told[0] == {
        "id": str(first.request_id),
        "worker": "gateway-0",
        "path": "/v1/chat/completions",
        "reason": "no such month",
    }
    assert heli("dead-letters", "list", "-q").out.split() == [str(first.request_id), str(second.request_id)]


def test_without_any_the_list_is_empty(heli):
    ran = heli("dead-letters", "list")
    assert (ran.code, ran.out) == (ExitCode.OK, "")


def test_one_is_shown_as_it_was_captured(heli, home):
    letter = a_letter(home, "no such month")
    beginning = letter.request_id.hex[:6]

    text = heli("dead-letters", "show", beginning).out
    tree = json.loads(heli("dead-letters", "show", beginning, "-o", "json").out)

    assert "not stored: no such month" in text
    assert "POST /v1/chat/completions   https://api.openai.com" in text
    assert '{"model": "gpt-4o"}' in text
    assert "[not text, 2 bytes]" in text
    assert base64.b64decode(tree["exchange"]["response_body"]) == b"\xff\xfe"
    assert tree["exchange"]["response_status"] == 200


def test_a_file_that_cannot_be_read_is_told_and_shown(heli, home):
    letter = a_letter(home, "odd")
    (file,) = (home / "data" / "dead-letters").glob("*/*.exchange")
    file.write_bytes(b"\x01")

    assert json.loads(heli("dead-letters", "list", "--json", "origin").out) == [{"origin": None}]
    assert "cannot be read" in heli("dead-letters", "show", letter.request_id.hex).out


@pytest.mark.parametrize("command", ["show", "replay", "delete"])
def test_an_unknown_one_is_told(heli, home, command):
    a_letter(home, "odd")
    ran = heli("dead-letters", command, "ffff-none")
    assert ran.code == ExitCode.NOT_FOUND
    assert "heli dead-letters list" in ran.err


def test_they_are_sent_again_and_those_that_are_stored_go_away(heli, home, store):
    good, bad = a_letter(home, "no such month"), a_letter(home, "no such month")
    store.reject = lambda each: "still no such month" if each.id == bad.id else None

    ran = heli("dead-letters", "replay")

    assert ran.code == ExitCode.FAILURE
    assert "1 stored, 1 refused again" in ran.err
    assert store.stored[good.id] == good
    left = json.loads(heli("dead-letters", "list", "--json", "id,reason").out)
    assert left == [{"id": str(bad.request_id), "reason": "still no such month"}]

    store.reject = lambda _: None
    assert heli("dead-letters", "replay", bad.request_id.hex[:8]).code == ExitCode.OK
    assert heli("dead-letters", "list").out == ""


def test_nothing_is_lost_when_the_backend_is_away(heli, home, store):
    a_letter(home, "no such month")
    store.stop()

    ran = heli("dead-letters", "replay")
    store.start()

    assert ran.code == ExitCode.UNREACHABLE
    assert len(heli("dead-letters", "list", "-q").out.split()) == 1


def test_they_are_only_given_up_for_sure(heli, home):
    letter, other = a_letter(home, "odd"), a_letter(home, "odd")

    assert "nothing was deleted" in heli("dead-letters", "delete", letter.request_id.hex).err
    assert len(heli("dead-letters", "list", "-q").out.split()) == 2

    assert heli("dead-letters", "delete", letter.request_id.hex, "--yes").code == ExitCode.OK
    assert heli("dead-letters", "list", "-q").out.split() == [str(other.request_id)]


def test_status_tells_of_them_and_what_to_do(heli, home):
    (home / "data" / "spool" / "gateway-0").mkdir(parents=True)
    a_letter(home, "odd")

    ran = heli("status")

    assert "could not be stored 1" in ran.out
    assert "`heli dead-letters list`" in ran.err
