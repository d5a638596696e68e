"""What applications that were written for Helicone rely on: its headers, and that no provider sees them."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI

from heli.backend.stores.packed_bodies import PackedBodyStore
from heli.schema.exchange import Outcome
from tests.clients.running_heli import RunningHeli
from tests.standin import StandIn

type MakeClient = Callable[..., OpenAI]

KEY = "sk-helicone-abcdefg-hijklmn-opqrstu-vwxyz01"
HELLO: list[Any] = [{"role": "user", "content": "Hello, heli!"}]


def chat(client: OpenAI, **headers: str) -> dict[str, str]:
    """One chat; the reply's headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=HELLO, extra_headers=named
    )
    assert raw.parse().choices[0].message.content == "You said: Hello, heli!"
    return {name.lower(): value for name, value in raw.headers.items()}


@pytest.fixture
def client(heli: RunningHeli, openai_client: MakeClient) -> OpenAI:
    return openai_client(heli.openai)


def test_user_session_and_properties_are_logged_and_found(
    heli: RunningHeli, standin: StandIn, client: OpenAI
) -> None:
    session = f"run {uuid.uuid4()}"
    told = chat(
        client,
        Helicone_Auth=f"Bearer {KEY}",
        Helicone_User_Id="alice@example.com",
        Helicone_Session_Id=session,
        Helicone_Session_Name="Night job",
        Helicone_Session_Path="/plan/step-1",
        Helicone_Property_Env="prod, eu",
        Helicone_Property_App_Version="1.2",
        Helicone_Prompt_Id="greet",
    )
    row = heli.logged(told["helicone-id"])
    assert row.user_id == "alice@example.com"
    assert (row.session_id, row.session_name, row.session_path) == (session, "Night job", "/plan/step-1")
    assert row.properties["env"] == "prod, eu"
    assert row.properties["app-version"] == "1.2"
    assert row.properties["Helicone-Session-Id"] == session
    for asked in (
        f'session:"{session}"',
        f'prop.env:"prod, eu" session:"{session}"',
        f'user:alice@* session.path:/plan/* session:"{session}"',
        f'prop:app-version prompt:greet session.name:"Night job" session:"{session}"',
        f'"hello, HELI" since:5m session:"{session}"',
    ):
        assert [found.id for found in heli.client.requests(asked).requests] == [row.id], asked
    assert heli.client.requests(f'-user:alice@example.com session:"{session}"').requests == []


def test_no_header_of_helis_reaches_the_provider(heli: RunningHeli, standin: StandIn, client: OpenAI) -> None:
    chat(
        client,
        Helicone_Auth=f"Bearer {KEY}",
        Helicone_Request_Id=str(uuid.uuid4()),
        helicone_user_id="u",
        HELICONE_PROPERTY_X="x",
        Helicone_Omit_Response="true",
        Heli_Anything="1",
    )
    (entry,) = standin.journal()
    assert "heli" not in entry["head"].lower().replace("hello, heli", "")
    assert ["Authorization", "Bearer sk-secret-of-the-user"] in [
        [name.title(), value] for name, value in entry["headers"]
    ]


def test_the_callers_own_id_is_the_rows_and_comes_back(heli: RunningHeli, client: OpenAI) -> None:
    wanted = str(uuid.uuid4())
    told = chat(client, Helicone_Request_Id=wanted)
    assert told["helicone-id"] == wanted
    assert told["helicone-status"] == "success"
    assert str(heli.logged(wanted).id) == wanted


def test_an_id_that_is_none_is_replaced(heli: RunningHeli, client: OpenAI) -> None:
    told = chat(client, Helicone_Request_Id="not-a-uuid")
    assert str(uuid.UUID(told["helicone-id"])) == told["helicone-id"]
    heli.logged(told["helicone-id"])


@pytest.mark.parametrize(
    ("omitted", "trace"), [("request", "whispered-in-the-question"), ("response", "fp_standin")]
)
def test_what_is_to_be_left_out_is_nowhere(
    heli: RunningHeli, openai_client: MakeClient, omitted: str, trace: str
) -> None:
    """`trace` is a word of that body only."""
    raw = openai_client(heli.openai).chat.completions.with_raw_response.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": "whispered-in-the-question"}],
        extra_headers={f"Helicone-Omit-{omitted.title()}": "true", "x-standin": '{"text": "fine"}'},
    )
    row = heli.logged(raw.headers["helicone-id"])
    assert row.bodies_omitted == omitted
    assert row.usage.total_tokens
    assert row.cost_usd
    exchange = heli.client.exchange(str(row.id))
    assert not getattr(exchange, f"{omitted}_body")
    assert getattr(exchange, f"{omitted}_json") is None
    other = "response" if omitted == "request" else "request"
    assert getattr(exchange, f"{other}_json")
    archived = PackedBodyStore(heli.home / "data" / "bodies").get(row.body_ref)
    assert trace.encode() not in archived
    assert b"gpt-4o" in archived
    assert trace not in f"{row}{exchange}"
    assert row.id not in {found.id for found in heli.client.requests(f"{omitted}:*").requests}


def test_the_models_name_can_be_overridden_for_the_log_and_its_price(
    heli: RunningHeli, client: OpenAI
) -> None:
    row = heli.logged(chat(client, Helicone_Model_Override="gpt-4o-mini")["helicone-id"])
    assert (row.model, row.request_model, row.response_model) == ("gpt-4o-mini", "gpt-4o", "gpt-4o")
    plain = heli.logged(chat(client)["helicone-id"])
    assert row.usage == plain.usage
    assert row.cost_usd is not None
    assert plain.cost_usd is not None
    assert row.cost_usd < plain.cost_usd / 10


def test_the_key_may_stand_in_the_path(
    heli: RunningHeli, standin: StandIn, openai_client: MakeClient
) -> None:
    client = openai_client(f"{heli.openai}/{KEY}")
    row = heli.logged(chat(client)["helicone-id"])
    (entry,) = standin.journal()
    assert entry["target"] == "/v1/chat/completions"
    assert row.path == "/v1/chat/completions"
    assert KEY not in str(heli.client.exchange(str(row.id)))


def test_the_key_may_stand_behind_the_providers(
    heli: RunningHeli, standin: StandIn, openai_client: MakeClient
) -> None:
    client = openai_client(heli.openai, api_key=f"sk-secret-of-the-user,Bearer {KEY}")
    heli.logged(chat(client)["helicone-id"])
    (entry,) = standin.journal()
    assert KEY not in entry["head"]
    assert "Bearer sk-secret-of-the-user" in entry["head"]


def test_any_provider_is_reached_by_its_url(
    heli: RunningHeli, standin: StandIn, openai_client: MakeClient
) -> None:
    client = openai_client(f"{heli.gateway}/openai")
    told = chat(client, Helicone_Target_Url="https://api.groq.com")
    row = heli.logged(told["helicone-id"])
    assert (row.provider, row.origin, row.listener) == ("GROQ", "https://api.groq.com", "gateway")
    (entry,) = standin.journal()
    assert entry["target"] == "/openai/v1/chat/completions"


def test_without_a_target_the_gateway_says_what_is_missing(
    heli: RunningHeli, openai_client: MakeClient
) -> None:
    from openai import BadRequestError

    with pytest.raises(BadRequestError, match="Helicone-Target-Url") as caught:
        chat(openai_client(heli.gateway))
    row = heli.logged(caught.value.response.headers["helicone-id"])
    assert (row.status, row.outcome, row.error_class) == (400, Outcome.REFUSED, "refused")


def test_a_private_target_is_refused(heli: RunningHeli, standin: StandIn, openai_client: MakeClient) -> None:
    with pytest.raises(Exception, match="private address"):
        chat(openai_client(heli.gateway), Helicone_Target_Url=f"http://127.0.0.1:{standin.port}")
    assert standin.journal() == []


def test_helicones_own_query_finds_the_call(heli: RunningHeli, client: OpenAI) -> None:
    import httpx

    user = f"user-{uuid.uuid4()}"
    wanted = chat(client, Helicone_User_Id=user)["helicone-id"]
    heli.logged(wanted)
    answer = httpx.post(
        f"{heli.backend}/v1/request/query-clickhouse",
        json={"filter": {"request_response_rmt": {"user_id": {"equals": user}}}, "limit": 10},
    )
    assert answer.status_code == 201
    (found,) = answer.json()["data"]
    assert (found["request_id"], found["response_status"], found["provider"]) == (wanted, 200, "OPENAI")


def test_the_command_prints_the_same_row(heli: RunningHeli, client: OpenAI) -> None:
    user = f"user-{uuid.uuid4()}"
    row = heli.logged(chat(client, Helicone_User_Id=user)["helicone-id"])
    told = heli.command("logs", f"user:{user}", "--json", "id,model,status,cost_usd,usage.input_tokens")
    assert told.returncode == 0, told.stderr
    shown = json.loads(told.stdout)
    (shown,) = shown if isinstance(shown, list) else [shown]
    assert (shown["id"], shown["model"], shown["status"]) == (str(row.id), "gpt-4o", 200)
    assert str(row.cost_usd) in told.stdout
    assert str(row.usage.input_tokens) in json.dumps(shown)


@pytest.mark.parametrize("words", [["--", "-user:alice"], ["not user:alice"], ["-user:alice"]])
def test_the_command_takes_a_filter_that_turns_a_term_round(
    heli: RunningHeli, client: OpenAI, words: list[str]
) -> None:
    session = str(uuid.uuid4())
    for user in ("alice", "bob"):
        heli.logged(chat(client, Helicone_User_Id=user, Helicone_Session_Id=session)["helicone-id"])
    told = heli.command("logs", "--json", "user_id", f"session:{session}", *words)
    assert told.returncode == 0, told.stderr
    assert "bob" in told.stdout
    assert "alice" not in told.stdout


def test_a_wrong_filter_is_told_with_its_place(heli: RunningHeli) -> None:
    told = heli.command("logs", "modle:gpt")
    assert told.returncode == 2
    assert "did you mean model" in told.stderr
    assert "^" in told.stderr
