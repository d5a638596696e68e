"""Who was called and for what: by host, then by path, then by the body."""

import pytest

from heli.providers.interpretation import interpret
from heli.providers.pricing.price_book import PriceBook
from heli.providers.recognition import recognise
from heli.schema.exchange import Listener
from tests.providers.exchanges import an_exchange, sse


@pytest.mark.parametrize(
    ("origin", "path", "provider", "operation"),
    [
        ("https://api.openai.com", "/v1/chat/completions", "OPENAI", "chat"),
        ("https://api.openai.com", "/v1/chat/completions?x=1", "OPENAI", "chat"),
        ("https://api.openai.com", "/v1/chat/completions/", "OPENAI", "chat"),
        ("https://api.openai.com", "/v1/completions", "OPENAI", "completion"),
        ("https://api.openai.com", "/v1/responses", "OPENAI", "response"),
        ("https://api.openai.com", "/v1/embeddings", "OPENAI", "embedding"),
        ("https://api.openai.com", "/v1/audio/speech", "OPENAI", "speech"),
        ("https://api.openai.com", "/v1/files", "OPENAI", "other"),
        ("https://api.anthropic.com", "/v1/messages?beta=true", "ANTHROPIC", "chat"),
        ("https://api.anthropic.com", "/v1/messages/count_tokens", "ANTHROPIC", "count_tokens"),
        ("https://api.anthropic.com", "/v1/messages/batches", "ANTHROPIC", "batch"),
        ("https://api.openai.com", "/v1/batches", "OPENAI", "batch"),
        ("https://api.openai.com", "/v1/batches/batch_1/cancel", "OPENAI", "batch"),
        ("https://api.openai.com", "/v1/images/variations", "OPENAI", "image"),
        ("https://api.openai.com", "/v1/audio/translations", "OPENAI", "transcription"),
        ("https://acme.openai.azure.com", "/openai/v1/responses?api-version=preview", "AZURE", "response"),
        ("https://acme.services.ai.azure.com", "/models/chat/completions", "AZURE", "chat"),
        ("https://acme.services.ai.azure.com", "/anthropic/v1/messages", "AZURE", "chat"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com", "/model/x/converse-stream", "BEDROCK", "chat"),
        ("https://bedrock-runtime-fips.us-east-1.amazonaws.com", "/model/x/converse", "BEDROCK", "chat"),
        (
            "https://us-east5-aiplatform.googleapis.com",
            "/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-haiku-4-5:streamRawPredict",
            "GOOGLE",
            "chat",
        ),
        (
            "https://aiplatform.googleapis.com",
            "/v1/projects/p/locations/global/publishers/anthropic/models/count-tokens:rawPredict",
            "GOOGLE",
            "count_tokens",
        ),
        (
            "https://aiplatform.us.rep.googleapis.com",
            "/v1/projects/p/locations/us/publishers/mistralai/models/codestral-2:rawPredict",
            "GOOGLE",
            "chat",
        ),
        ("https://storage.googleapis.com", "/upload", "https://storage.googleapis.com", "other"),
        ("https://api.cohere.com", "/v1/chat", "COHERE", "chat"),
        ("https://api.cohere.com", "/v2/embed", "COHERE", "embedding"),
        ("https://api.cohere.ai", "/v2/rerank", "COHERE", "rerank"),
        ("https://api.mistral.ai", "/v1/ocr", "MISTRAL", "ocr"),
        ("https://api.mistral.ai", "/v1/agents/completions", "MISTRAL", "chat"),
        ("https://api.deepseek.com", "/anthropic/v1/messages", "DEEPSEEK", "chat"),
        ("https://api.groq.com", "/openai/v1/chat/completions", "GROQ", "chat"),
        ("https://openrouter.ai", "/api/v1/chat/completions", "OPENROUTER", "chat"),
        ("https://api.fireworks.ai", "/inference/v1/completions", "FIREWORKS", "completion"),
        ("https://api.deepinfra.com", "/v1/openai/chat/completions", "DEEPINFRA", "chat"),
        ("https://codestral.mistral.ai", "/v1/fim/completions", "MISTRAL", "chat"),
        ("http://localhost:11434", "/api/chat", "OLLAMA", "chat"),
        ("http://localhost:11434", "/v1/chat/completions", "LOCAL", "chat"),
        ("http://[::1]:8080", "/v1/completions", "LOCAL", "completion"),
        ("https://ollama.com", "/api/chat", "https://ollama.com", "chat"),
        ("https://llm.corp.example:8443", "/v1/embeddings", "https://llm.corp.example:8443", "embedding"),
    ],
)
def test_host_and_path_tell(origin: str, path: str, provider: str, operation: str) -> None:
    found = recognise(an_exchange(origin=origin, path=path))

    assert (found.provider, found.format.operation) == (provider, operation)


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/engines/davinci/completions", "davinci"),
        ("/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", "gemini-2.5-pro"),
        ("/openai/deployments/my%20gpt/chat/completions?api-version=1", "my gpt"),
        ("/model/anthropic.claude-v2:1/invoke", "anthropic.claude-v2:1"),
        ("/model/us.amazon.nova-lite-v1%3A0/converse-stream", "us.amazon.nova-lite-v1:0"),
        (
            "/v1/projects/p/locations/l/publishers/google/models/gemini-2.0-flash:generateContent",
            "gemini-2.0-flash",
        ),
        ("/v1/models/meta/llama-3", "meta/llama-3"),
        (
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude-haiku-4-5@20251001:rawPredict",
            "claude-haiku-4-5@20251001",
        ),
        (
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse",
            "us.amazon.nova-lite-v1:0",
        ),
        (
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fa1b2/converse",
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2",
        ),
        ("/v1/chat/completions", ""),
    ],
)
def test_the_path_may_name_the_model(path: str, model: str) -> None:
    assert recognise(an_exchange(path=path)).path_model == model


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/v1/models", "models"),
        ("GET", "/v1/models/gpt-4o", "models"),
        ("GET", "/v1beta/models/gemini-2.5-pro", "models"),
        ("GET", "/api/tags", "models"),
        ("GET", "/v1/chat/completions/chatcmpl-1", "other"),
        ("DELETE", "/v1/responses/resp_1", "other"),
        ("GET", "/v1/batches/batch_1", "batch"),
        ("GET", "/v1/messages/batches/msgbatch_1", "batch"),
        ("POST", "/v1/batches", "batch"),
    ],
)
def test_looking_things_up_runs_no_model(method: str, path: str, operation: str) -> None:
    found = recognise(an_exchange(method=method, path=path))

    assert (found.format.operation, found.format.is_free) == (operation, True)


def test_a_refused_call_belongs_to_the_provider_of_its_listener() -> None:
    assert recognise(an_exchange(origin="", listener=Listener.ANTHROPIC)).provider == "ANTHROPIC"


@pytest.mark.parametrize(
    ("path", "model"), [("/v1/realtime?model=gpt-realtime", "gpt-realtime"), ("/v1/responses", "")]
)
def test_a_socket_is_kept_with_what_its_path_tells(prices: PriceBook, path: str, model: str) -> None:
    exchange = an_exchange(
        b"\x81\x05hello", b"\x81\x02ok", path=path, method="GET", status=101, is_websocket=True
    )

    found = interpret(exchange, prices)

    assert (found.operation, found.path_model, found.interpret_error) == ("other", model, "")
    assert found.cost.total_usd is None


@pytest.mark.parametrize(
    ("request_body", "reply", "operation"),
    [
        ({"messages": [{}]}, {"object": "chat.completion", "choices": []}, "chat"),
        ({"prompt": "x"}, {"object": "text_completion", "choices": []}, "completion"),
        ({"messages": [{}]}, {"type": "message", "stop_reason": "end_turn", "content": []}, "chat"),
        ({"input": "x"}, {"object": "response", "output": []}, "response"),
        ({"contents": []}, {"candidates": []}, "other"),
        ({"contents": [{}]}, {"candidates": []}, "chat"),
        ({"query": "x"}, {"results": []}, "other"),
        ({}, sse({"type": "message_start", "message": {}}), "chat"),
        ({}, sse({"type": "response.created", "response": {}}), "response"),
        ({}, sse({"object": "chat.completion.chunk", "choices": []}), "chat"),
        ({}, sse({"candidates": []}), "chat"),
        ({}, sse({"anything": 1}), "other"),
    ],
)
def test_the_body_tells_where_the_path_does_not(
    prices: PriceBook, request_body: object, reply: object, operation: str
) -> None:
    exchange = an_exchange(request_body, reply, origin="https://llm.corp.example", path="/proxy/x")

    assert interpret(exchange, prices).operation == operation
