"""What a reply's body leaves to headers, request or path: counts, and reasons to doubt a price."""

import msgspec

from heli.providers.formats.bedrock_usage import read_invocation_metrics
from heli.providers.formats.format import Answer, Asked
from heli.providers.reading import Reading
from heli.schema.exchange import Exchange, Outcome
from heli.schema.usage import Usage


def complete_answer(answer: Answer, asked: Asked, reading: Reading, exchange: Exchange) -> Answer:
    """The answer with what was counted outside of the reply's body, and with what is doubtful about it."""
    changes: dict[str, object] = {}
    is_untold = answer.usage.total_tokens is None and not answer.usage.server_tool_uses
    if is_untold and reading.headers.token_counts:
        changes["usage"] = read_invocation_metrics(reading.headers.token_counts)
        changes["provider_usage"] = reading.headers.token_counts
    elif is_untold and asked.characters and reading.format.operation == "speech":
        changes["usage"] = Usage(server_tool_uses={"characters": asked.characters})
        changes["doubt"] = "the provider reported no usage: characters counted by heli"
    told = [doubt for doubt in (_name_doubt(answer, reading), _lines_doubt(reading, exchange)) if doubt]
    if told:
        changes.setdefault("doubt", "; ".join([answer.doubt, *told] if answer.doubt else told))
    return msgspec.structs.replace(answer, **changes) if changes else answer


def _name_doubt(answer: Answer, reading: Reading) -> str:
    """Whether the name by which the call is priced may be another model's."""
    if reading.provider == "AZURE" and not answer.model:
        return "the reply does not name the model: priced by the name of the deployment"
    if reading.provider == "BEDROCK" and reading.path_model.startswith("arn:"):
        return "the profile does not tell its region, which may cost a tenth more"
    return ""


def _lines_doubt(reading: Reading, exchange: Exchange) -> str:
    """Whether results of a batch are missing: a file that ends after a whole line does not look cut."""
    if reading.format.operation != "batch_results" or reading.stream is None:
        return ""
    if reading.stream.trouble:
        return "some results could not be read"
    is_cut = len(exchange.response_body) < exchange.response_body_bytes
    is_whole = exchange.outcome is Outcome.COMPLETE and exchange.response_status != 206 and not is_cut
    return "" if is_whole else "only a part of the results was read"
