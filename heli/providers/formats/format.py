"""What heli must know of a wire format to interpret it: one small protocol, one module for each format."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from heli.providers.framing import Event, Stream
from heli.providers.json_values import Json
from heli.schema.conversation import Conversation
from heli.schema.usage import Usage


class Asked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a request's body says of itself."""

    model: str = ""
    is_streaming: bool = False
    user: str = ""
    """The caller's own name for the end user."""
    characters: int = 0
    """Of a text to be spoken, which some models are billed by."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a reply says of itself."""

    model: str = ""
    usage: Usage = Usage()
    provider_usage: Json = None
    """The provider's usage object, untouched; `None` when there is none."""
    finish_reason: str = ""
    """The provider's own word."""
    is_complete: bool = True
    """The model came to an end of its own; false for a stream that was cut."""
    is_pending: bool = False
    """The provider works in the background and has not come to an end."""
    reply_id: str = ""
    service_tier: str = ""
    speed: str = ""
    """`fast` where the provider sells a faster mode of the same model."""
    price_factor: Decimal = Decimal(1)
    """A surcharge on all token prices, such as for a choice of region."""
    reported_cost_usd: Decimal | None = None
    """What the provider itself says that it charged."""
    doubt: str = ""
    """Why the counts may not be what was billed; empty when there is no reason to think so."""
    billed: tuple["Billed", ...] = ()
    """What `usage` is made of where its parts have a model or a price level of their own: the calls of a
    batch, what a second model or a compaction had to do with one reply."""


class Billed(msgspec.Struct, frozen=True, gc=False):
    """A part of the usage that is priced by itself."""

    model: str
    """Empty for the model of the reply."""
    usage: Usage
    speed: str = ""
    price_factor: Decimal = Decimal(1)
    is_beside: bool = False
    """No request of its own: it came beside the last part before it that is one."""


class Format(Protocol):
    """One wire format. Methods take JSON that nobody has checked and must bear anything."""

    operation: str
    """`chat`, `completion`, `response`, `embedding`, `count_tokens`, …"""
    is_free: bool
    """The provider charges nothing for this operation."""

    def read_request(self, request: Json, path: str) -> Asked:
        """The body's own fields; `path` for formats that tell there whether to stream."""
        ...

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        """The reply cut into events; `None` when it is not a stream."""
        ...

    def assemble(self, events: Sequence[Event]) -> Json:
        """The events as the reply that the provider would have sent unstreamed, also when cut short."""
        ...

    def begins_answer(self, event: Event) -> bool:
        """Whether this event carries the first of what the model has to say: text, thinking, a tool call."""
        ...

    def read_answer(self, reply: Json, provider: str) -> Answer:
        """Usage as a disjoint ledger, and the rest. `provider`: hosts of one format count differently."""
        ...

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        """Who said what. Either side may be missing (`None`)."""
        ...
