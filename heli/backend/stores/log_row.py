"""What the request log keeps of a request, and how its values are written there."""

import datetime
import decimal
import uuid
from decimal import Decimal

import msgspec

from heli.schema.exchange import Outcome
from heli.schema.request import Request
from heli.schema.usage import NANODOLLARS, Usage

NO_UUID = uuid.UUID(int=0)
MAX_BODY_TEXT = 65_536
"""JSON bodies up to this many characters are also kept in the row, so that SQL can read them."""


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """A request with what the log keeps beside it."""

    request: Request
    request_text: str = ""
    """The words of the question, for search."""
    response_text: str = ""
    request_body: str = ""
    """The body's JSON text; what is longer than `MAX_BODY_TEXT` is left out."""
    response_body: str = ""
    updated_at: datetime.datetime | None = None
    """The row's version: of two rows of one id the later wins. `None` for the request's own end, so that
    the same exchange ingested twice is the same row."""
    proxy_key_id: uuid.UUID | None = None
    country_code: str | None = None
    cache_enabled: bool = False
    cache_reference_id: uuid.UUID = NO_UUID
    """The request whose saved reply was used; nil when it was not served from the cache."""
    request_referrer: str = ""
    scores: dict[str, int] = {}
    prompt_id: str = ""
    prompt_version: str = ""
    tool_uses: str = ""
    """JSON of the tools that the reply calls, and of the results that the request brought."""
    thread_keys: list[int] = []
    """Keys by which later calls are known to go on from this one."""
    thread_follows: list[int] = []
    """Keys of the calls that this one may go on from."""


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
NANO = Decimal(NANODOLLARS)
MONEY_DIGITS = Decimal(1).scaleb(-18)
MONEY = decimal.Context(prec=38, rounding=decimal.ROUND_HALF_EVEN)

ABNORMAL_STATUS = {Outcome.CLIENT_ABORTED: -3, Outcome.TIMEOUT: -2}
OTHER_ABNORMAL_STATUS = -100


def helicone_status(request: Request) -> int:
    """Helicone's status: the HTTP one; -3 for a caller that hung up, -2 for a time-out, else -100."""
    if request.outcome is Outcome.COMPLETE or request.outcome is Outcome.REFUSED:
        return OTHER_ABNORMAL_STATUS if request.status is None else request.status
    if (status := ABNORMAL_STATUS.get(request.outcome)) is not None:
        return status
    return OTHER_ABNORMAL_STATUS if request.status is None or request.status < 400 else request.status


def micros(moment: datetime.datetime | None) -> int | None:
    return None if moment is None else (moment - EPOCH) // MICROSECOND


def millis(moment: datetime.datetime | None) -> int | None:
    exact = micros(moment)
    return None if exact is None else exact // 1000


def whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def money(value: Decimal) -> Decimal:
    return value.quantize(MONEY_DIGITS, context=MONEY)


def nanodollars(value: Decimal | None) -> int:
    return 0 if value is None or value <= 0 else int((value * NANO).to_integral_value())


def kept(body: str) -> str:
    return body if len(body) <= MAX_BODY_TEXT else ""


def prompt_tokens(usage: Usage) -> int | None:
    """Helicone's: input of every kind, what the cache gave or took left out."""
    return _sum(usage.input_tokens, usage.input_audio_tokens, usage.input_image_tokens)


def completion_tokens(usage: Usage) -> int | None:
    """Helicone's: output of every kind, reasoning left out."""
    return _sum(usage.output_tokens, usage.output_audio_tokens, usage.output_image_tokens)
