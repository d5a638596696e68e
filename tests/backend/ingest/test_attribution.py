"""What a caller's headers say about a call."""

import pytest

from heli.backend.ingest.attribution import NOBODY, Attribution, read_attribution


def test_a_call_without_helicone_headers_is_nobodys() -> None:
    assert read_attribution([(b"Content-Type", b"application/json"), (b"Authorization", b"***")]) is NOBODY


def test_every_header_finds_its_place() -> None:
    told = read_attribution(
        [
            (b"Helicone-User-Id", b"alice"),
            (b"HELICONE-PROPERTY-Env", b"Prod"),
            (b"Helicone-Session-Id", b"s-1"),
            (b"Helicone-Session-Name", b"deploy"),
            (b"Helicone-Session-Path", b"plan/step"),
            (b"Helicone-Prompt-Id", b"greet"),
            (b"Helicone-Prompt-Version", b"3"),
            (b"Helicone-Model-Override", b"gpt-4o"),
            (b"Helicone-Cache-Enabled", b"TRUE"),
            (b"Helicone-Omit-Request", b"true"),
        ]
    )

    assert told == Attribution(
        user_id="alice",
        session_id="s-1",
        session_name="deploy",
        session_path="/plan/step",
        properties={
            "env": "Prod",
            "Helicone-Session-Id": "s-1",
            "Helicone-Session-Name": "deploy",
            "Helicone-Session-Path": "plan/step",
            "Helicone-Prompt-Id": "greet",
            "Helicone-Cache-Enabled": "TRUE",
        },
        prompt_id="greet",
        prompt_version="3",
        model_override="gpt-4o",
        cache_enabled=True,
        omit_request=True,
    )


@pytest.mark.parametrize(("sent", "path"), [(b"", "/"), (b"a/b", "/a/b"), (b"/a", "/a")])
def test_a_session_path_begins_with_a_slash(sent: bytes, path: str) -> None:
    told = read_attribution([(b"Helicone-Session-Id", b"s"), (b"Helicone-Session-Path", sent)])

    assert told.session_path == path


def test_only_the_word_true_omits_a_body() -> None:
    told = read_attribution([(b"Helicone-Omit-Request", b"True"), (b"Helicone-Omit-Response", b"1")])

    assert (told.omit_request, told.omit_response) == (False, False)


def test_other_headers_leave_properties_behind() -> None:
    told = read_attribution([(b"x-stripe-customer-id", b"cus_1"), (b"Helicone-Posthog-Key", b"phc_secret")])

    assert told.properties == {"stripe_customer_id": "cus_1", "Helicone-Sent-To-Posthog": "true"}


def test_bytes_of_any_kind_become_text() -> None:
    told = read_attribution([(b"Helicone-User-Id", b"\xff\xfe\x00"), (b"Helicone-Property-", b"no name")])

    assert told.user_id == "ÿþ\ufffd"
    assert told.properties == {}
