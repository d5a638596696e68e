"""An exchange: one call to a provider as it crossed the wire, before anybody interprets it.

The gateway makes exchanges, the spool keeps them, ingest gives them meaning. On disk and between
processes an exchange is one msgpack array, so fields are only ever added at the end, with a default.
"""

import enum
import uuid

import msgspec

type Headers = list[tuple[bytes, bytes]]
"""Header lines in the order and case of the wire; secrets are masked already."""

type ChunkTimes = list[tuple[int, int]]
"""`(microseconds after started_ns, bytes)` for each piece of a body as it was read from the socket."""

MASKED = b"***"
"""What stands in the place of a secret."""


class Listener(enum.StrEnum):
    """The port by which a call came in, which decides the provider that it is for."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GATEWAY = "gateway"
    INTERCEPT = "intercept"


class Outcome(enum.StrEnum):
    """How an exchange ended."""

    COMPLETE = "complete"
    """The provider's reply, whatever its status, was passed on whole."""
    CLIENT_ABORTED = "client_aborted"
    """The caller hung up first; the bodies hold what was seen until then."""
    UPSTREAM_ERROR = "upstream_error"
    """The provider could not be reached, or its reply broke off or was not HTTP."""
    TIMEOUT = "timeout"
    """The provider did not answer within the limit."""
    REFUSED = "refused"
    """heli itself answered, with an error, and called no provider."""
    INTERRUPTED = "interrupted"
    """The gateway process ended while the call was in flight."""


class Reach(enum.IntEnum):
    """How far a call got, which decides whether it can have cost anything."""

    NOT_SENT = 0
    """Nothing of the request went out to the provider."""
    SENT = 1
    """It began to go out; no answer is known."""
    ANSWERED = 2
    """The head of the provider's reply came."""


class Exchange(msgspec.Struct, array_like=True, frozen=True, kw_only=True, gc=False):
    """One call as it crossed the wire. Bodies are as on the wire: still chunked and compressed."""

    id: bytes
    """The 16 bytes of the request's UUID, made once, by the gateway."""
    started_ns: int
    """Nanoseconds since 1970 UTC when the first byte of the request had come."""
    listener: Listener
    outcome: Outcome
    origin: str
    """Where the call was sent, `https://api.openai.com`; empty when it was refused before that was known."""
    method: str
    path: str
    """Path and query as the provider saw them, secrets masked."""
    request_headers: Headers
    """As the caller sent them, `Helicone-*` included."""
    request_body: bytes = b""
    request_body_bytes: int = 0
    """The length that crossed the wire; more than `len(request_body)` when that was cut or dropped."""
    request_chunks: ChunkTimes = []
    response_status: int | None = None
    """The status that the caller got, `None` when none was sent."""
    response_headers: Headers = []
    response_body: bytes = b""
    response_body_bytes: int = 0
    response_chunks: ChunkTimes = []
    """At most `MAX_CHUNK_TIMES` of them; later chunks are added to the last."""
    request_end_us: int | None = None
    """When the last byte of the request had come, in microseconds after `started_ns`; so the following."""
    first_byte_us: int | None = None
    """When the head of the reply came."""
    end_us: int | None = None
    """When the exchange ended; `None` when nobody saw it end."""
    error: str | None = None
    """Why it did not end as `COMPLETE`, for people."""
    key_digest: bytes | None = None
    """SHA-256 of `Bearer <key>` when the caller gave a heli or Helicone key."""
    peer: str = ""
    """The caller's address, `127.0.0.1:50312`."""
    worker: str = ""
    """The gateway worker that carried it."""
    bodies_dropped: bool = False
    """The spool was nearly full, so that only the heads were kept."""
    is_websocket: bool = False
    """The connection was upgraded: the bodies are the raw frames of either direction."""
    upstream_status: int | None = None
    """The provider's own status where heli answered with another one."""
    reach: Reach | None = None
    """`None` when nobody knows: the gateway ended meanwhile, or an older release wrote this down."""

    @property
    def request_id(self) -> uuid.UUID:
        return uuid.UUID(bytes=self.id)


MAX_CHUNK_TIMES = 4096


class Direction(enum.IntEnum):
    """Which body a piece belongs to."""

    REQUEST = 0
    RESPONSE = 1


class Opened(msgspec.Struct, array_like=True, frozen=True, kw_only=True, tag=1):
    """A call is in flight: what was known of it at the first sync of the spool after it began."""

    exchange: Exchange
    """With `outcome` INTERRUPTED and `end_us` unknown: it is what remains if nothing else comes."""


class Grown(msgspec.Struct, array_like=True, frozen=True, kw_only=True, tag=2, gc=False):
    """More bytes of a call in flight. The pieces of a direction follow each other without a gap."""

    id: bytes
    direction: Direction
    data: bytes
    chunks: ChunkTimes
    response_status: int | None = None
    """Set, with the headers, in the first one after the head of the reply came."""
    response_headers: Headers | None = None
    first_byte_us: int | None = None


class Closed(msgspec.Struct, array_like=True, frozen=True, kw_only=True, tag=3):
    """A call that was opened has ended.

    Its body fields and chunk times hold only what no `Grown` record told before; every other field is
    final and replaces what was known.
    """

    exchange: Exchange


class Whole(msgspec.Struct, array_like=True, frozen=True, kw_only=True, tag=4):
    """A call that ended before the spool was synced even once: everything in one record."""

    exchange: Exchange


type Record = Opened | Grown | Closed | Whole
"""What the spool holds, one for each frame."""

encode_record = msgspec.msgpack.Encoder().encode
decode_record = msgspec.msgpack.Decoder(Record).decode
encode_exchanges = msgspec.msgpack.Encoder().encode
decode_exchanges = msgspec.msgpack.Decoder(list[Exchange]).decode
