"""Usage as Bedrock reports it: in Converse's own object, at the end of a stream, or in headers."""

from collections.abc import Mapping

from heli.providers.json_values import Json, as_count, as_dict, as_list, field
from heli.providers.usage_ledger import first_count
from heli.schema.usage import Usage

INVOCATION_METRICS = "amazon-bedrock-invocationMetrics"
"""The field that Bedrock adds to the last chunk of an invoked model's stream."""

COUNT_HEADERS = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}
"""`{header: its name in the metrics of a stream}`."""


def read_usage(usage: Json) -> Usage:
    """Converse: `inputTokens` excludes the cache; `cacheDetails` tells writes for an hour."""
    fields = as_dict(usage)
    write = first_count(fields, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    write_1h = [
        as_count(field(each, "inputTokens")) or 0
        for each in as_list(fields.get("cacheDetails"))
        if field(each, "ttl") == "1h"
    ]
    hour = min(sum(write_1h), write) if write_1h and write is not None else None
    return Usage(
        input_tokens=as_count(fields.get("inputTokens")),
        cache_read_tokens=first_count(fields, "cacheReadInputTokens", "cacheReadInputTokenCount"),
        cache_write_5m_tokens=write if write is None or hour is None else write - hour,
        cache_write_1h_tokens=hour,
        output_tokens=as_count(fields.get("outputTokens")),
    )


def read_invocation_metrics(metrics: Json) -> Usage:
    """The counts of an invoked model; the input excludes the cache, as with Converse."""
    fields = as_dict(metrics)
    return Usage(
        input_tokens=as_count(fields.get("inputTokenCount")),
        cache_read_tokens=as_count(fields.get("cacheReadInputTokenCount")),
        cache_write_5m_tokens=as_count(fields.get("cacheWriteInputTokenCount")),
        output_tokens=as_count(fields.get("outputTokenCount")),
    )


def metrics_of_headers(headers: Mapping[str, str]) -> dict[str, Json]:
    """What the headers of a reply count, under the names that the metrics of a stream have."""
    return {
        name: int(value)
        for header, name in COUNT_HEADERS.items()
        if (value := headers.get(header, "")).isascii() and value.isdigit() and len(value) < 16
    }
