"""Ids and keys, wherever the caller puts them."""

import hashlib
import uuid

import pytest

from heli.proxy.gateway.heads import RequestHead, read_request_head
from heli.proxy.gateway.identity import RequestIds, id_text, make_id, take_key

KEY = "sk-helicone-abcdefg-abcdefg-abcdefg-abcdefg"
DIGEST = hashlib.sha256(f"Bearer {KEY}".encode()).digest()


def head(*lines: str, target: str = "/v1/x") -> RequestHead:
    return read_request_head(
        "\r\n".join([f"POST {target} HTTP/1.1", "Host: h", *lines, "", ""]).encode(), 100
    )


def test_made_ids_are_random_uuids_of_version_4() -> None:
    ids = {make_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert {(uuid.UUID(bytes=i).version, uuid.UUID(bytes=i).variant) for i in ids} == {(4, uuid.RFC_4122)}
    assert all(id_text(i).decode() == str(uuid.UUID(bytes=i)) for i in ids)


@pytest.mark.parametrize(
    ("asked", "counts"),
    [
        ("0ED0FF2F-e666-4a4a-8d69-43897849d193", True),
        ("0ed0ff2f-e666-7a4a-8d69-43897849d193", False),
        ("0ed0ff2fe6664a4a8d6943897849d193", False),
        ("mine", False),
        ("", False),
    ],
)
def test_the_callers_own_id_counts_if_it_is_valid(asked: str, counts: bool) -> None:
    found = RequestIds().choose(head(f"Helicone-Request-Id: {asked}"))

    assert (str(uuid.UUID(bytes=found)) == asked.lower()) is counts


def test_an_id_that_comes_again_is_another_call() -> None:
    ids, asked = RequestIds(), head("Helicone-Request-Id: 0ed0ff2f-e666-4a4a-8d69-43897849d193")

    assert ids.choose(asked).hex() == "0ed0ff2fe6664a4a8d6943897849d193"
    assert ids.choose(asked).hex() != "0ed0ff2fe6664a4a8d6943897849d193"


def test_all_keys_are_taken_out_and_the_first_counts() -> None:
    other = KEY.replace("a", "b")
    found = head(
        f"Authorization: Bearer a, Bearer {other}, Bearer {other}",
        "Authorization: Bearer plain",
        target=f"/{KEY}/v1/{other}/x?q=1",
    )

    assert take_key(found) == DIGEST
    assert found.target == b"/v1/x?q=1"
    assert found.lines[1:] == [b"Authorization: Bearer a", b"Authorization: Bearer plain"]


def test_a_key_in_other_letters_is_a_key() -> None:
    found = head(target=f"/{KEY.replace('-', '%2D')}/v1/x")

    assert take_key(found) == DIGEST
    assert found.target == b"/v1/x"


def test_the_key_of_the_header_counts() -> None:
    assert take_key(head(f"Helicone-Auth: Bearer {KEY}")) == DIGEST


@pytest.mark.parametrize(
    ("target", "cut"),
    [
        (f"/{KEY}/v1/chat", "/v1/chat"),
        (f"/v1/{KEY}/chat?x=1", "/v1/chat?x=1"),
        (f"/{KEY}", "/"),
        (f"/{KEY}?x=1", "/?x=1"),
    ],
)
def test_the_key_is_cut_out_of_the_path(target: str, cut: str) -> None:
    found = head(target=target)

    assert take_key(found) == DIGEST
    assert found.target == cut.encode()


def test_the_key_behind_the_providers_own_is_taken_out() -> None:
    found = head(f"Authorization: Bearer sk-provider, Bearer {KEY}")

    assert take_key(found) == DIGEST
    assert found.lines[1] == b"Authorization: Bearer sk-provider"


def test_no_key_is_no_digest_and_nothing_is_changed() -> None:
    found = head("Authorization: Bearer sk-provider", target="/v1/sk-heliconeish/x")

    assert take_key(found) is None
    assert found.target == b"/v1/sk-heliconeish/x"
