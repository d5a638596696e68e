"""Usage and cost: what a call consumed, in counts that do not overlap, and what that came to."""

import datetime
import enum
from decimal import Decimal

import msgspec

NANODOLLARS = 1_000_000_000
"""The request log stores a cost as an integer, dollars times this, as Helicone does."""


BILLED_UNITS = frozenset(
    {"audio_seconds", "characters", "pages", "annotated_pages", "search_units", "images", "classifications"}
)
"""What models are billed by that do not count tokens; among the uses of server tools in a ledger."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger of disjoint counts: no token is in two of them. `None` means that nobody told."""

    input_tokens: int | None = None
    """Uncached text input."""
    cache_read_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    input_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_tokens: int | None = None
    """Visible text output, without reasoning."""
    reasoning_tokens: int | None = None
    output_audio_tokens: int | None = None
    server_tool_uses: dict[str, int] = {}
    """`{tool: uses}` of tools that the provider ran and bills apart, such as `web_search`; and the
    `BILLED_UNITS`, such as `audio_seconds`."""
    cache_read_audio_tokens: int | None = None
    output_image_tokens: int | None = None

    @property
    def total_input_tokens(self) -> int | None:
        """All input, cache included; `None` if no part is known."""
        return _total(
            self.input_tokens,
            self.cache_read_tokens,
            self.cache_write_5m_tokens,
            self.cache_write_1h_tokens,
            self.input_audio_tokens,
            self.input_image_tokens,
            self.cache_read_audio_tokens,
        )

    @property
    def total_output_tokens(self) -> int | None:
        """All output, reasoning included; `None` if no part is known."""
        return _total(
            self.output_tokens, self.reasoning_tokens, self.output_audio_tokens, self.output_image_tokens
        )

    @property
    def total_tokens(self) -> int | None:
        return _total(self.total_input_tokens, self.total_output_tokens)


def _total(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


class CostState(enum.StrEnum):
    """How far a cost can be trusted."""

    EXACT = "exact"
    """The provider's own usage at a known price."""
    ESTIMATED = "estimated"
    """heli counted the tokens."""
    UNKNOWN = "unknown"
    """No price or no usage: never summed as zero."""
    FREE = "free"
    """An operation or a model that costs nothing."""
    CACHED = "cached"
    """Answered by heli's cache: cost 0, the saving is recorded."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one request came to."""

    state: CostState
    total_usd: Decimal | None = None
    """`None` exactly when the state is `unknown`."""
    parts_usd: dict[str, Decimal] = {}
    """`{ledger field: dollars}`; they add up to the total."""
    price_source: str = ""
    """The price table and its version, such as `genai-prices 0.2.3` or `override`."""
    price_date: datetime.date | None = None
    """The day whose prices were used."""
    reason: str = ""
    """Why the state is `unknown` or `estimated`."""
