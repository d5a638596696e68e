"""How people point at a request: its id, the first letters of it, or `@last`, `@-2`."""

import re
from uuid import UUID

from heli.backend.queries.request_list import REQUEST_SQL, Key, find_keys, rows_of
from heli.backend.queries.scope import TABLE, Scope, only_model_calls
from heli.backend.stores.request_log import RequestLog, request_from_row
from heli.schema.errors import HeliError, NotFoundError, UsageError
from heli.schema.request import Request

MIN_PREFIX = 4
MAX_CANDIDATES = 10
MAX_STEPS_BACK = 10_000

_BACK = re.compile(r"@-([0-9]{1,6})")
_HEX = re.compile(r"[0-9a-fA-F]{1,32}")


class AmbiguousError(HeliError):
    """A short reference that fits several requests."""

    code = "ambiguous"
    status = 409

    def __init__(self, ref: str, candidates: list[UUID], has_more: bool) -> None:
        shown = ", ".join(str(id) for id in candidates) + (", …" if has_more else "")
        super().__init__(f"{ref!r} fits several requests: {shown}", "give more letters of the id")
        self.candidates = candidates


def find_request(log: RequestLog, scope: Scope, ref: str) -> Request:
    """The request that `ref` means. Raises `NotFoundError`, `AmbiguousError`, or `UsageError`."""
    rows = rows_of(log, scope, [find_key(log, scope, ref)], REQUEST_SQL)
    if not rows:
        raise _not_found(ref)
    return request_from_row(rows[0])


def find_key(log: RequestLog, scope: Scope, ref: str) -> Key:
    """Where the request stands; errors as in `find_request`."""
    if ref.startswith("@"):
        return _counted_back(log, scope, ref)
    digits = ref.replace("-", "")
    if not _HEX.fullmatch(digits) or len(digits) < MIN_PREFIX:
        raise UsageError(
            f"{ref[:80]!r} is no reference to a request",
            f"give an id, at least {MIN_PREFIX} letters of its beginning, @last or @-2",
        )
    keys = _by_id(log, scope, UUID(digits)) if len(digits) == 32 else _by_prefix(log, scope, digits.lower())
    if not keys:
        raise _not_found(ref)
    # A caller may name two calls alike by Helicone-Request-Id: the newest one is meant.
    if len({key.id for key in keys}) > 1:
        raise AmbiguousError(ref, [key.id for key in keys[:MAX_CANDIDATES]], len(keys) > MAX_CANDIDATES)
    return keys[0]


def _counted_back(log: RequestLog, scope: Scope, ref: str) -> Key:
    """`@last` is the newest request, `@-1` the same, `@-2` the one before it, as `heli logs` lists them."""
    match = _BACK.fullmatch("@-1" if ref == "@last" else ref)
    back = int(match[1]) if match else 0
    if not 1 <= back <= MAX_STEPS_BACK:
        raise UsageError(
            f"{ref[:80]!r} is no reference to a request", "write @last, or @-2 for the one before it"
        )
    keys = find_keys(log, only_model_calls(scope), 1, offset=back - 1)
    if not keys:
        raise NotFoundError(f"there is no request {ref}", "see `heli logs` for what there is")
    return keys[0]


def _by_id(log: RequestLog, scope: Scope, id: UUID) -> list[Key]:
    return _keys(log, scope.and_also("request_id = {ref_id:UUID}", ref_id=str(id)))


def _by_prefix(log: RequestLog, scope: Scope, digits: str) -> list[Key]:
    """Compare numbers, not text: ids are sorted by nothing that a prefix could use."""
    first = int(digits[:16].ljust(16, "0"), 16)
    last = int(digits[:16].ljust(16, "f"), 16)
    found = scope.and_also(
        "reinterpretAsUInt64(request_id) BETWEEN {ref_first:UInt64} AND {ref_last:UInt64}",
        ref_first=first,
        ref_last=last,
    )
    if len(digits) > 16:
        found = found.and_also(
            "startsWith(replaceAll(toString(request_id), '-', ''), {ref_digits:String})", ref_digits=digits
        )
    return _keys(log, found)


def _keys(log: RequestLog, scope: Scope) -> list[Key]:
    """Without `final`, which would read more: an id never changes its time."""
    rows = log.select(
        f"SELECT DISTINCT request_created_at, request_id FROM {TABLE} WHERE {scope.sql}"  # noqa: S608
        f" ORDER BY request_created_at DESC, request_id LIMIT {MAX_CANDIDATES + 1} SETTINGS final = 0",
        scope.parameters,
    )
    return [Key(row["request_created_at"], row["request_id"]) for row in rows]


def _not_found(ref: str) -> NotFoundError:
    return NotFoundError(f"there is no request {ref[:80]}", "see `heli logs` for what there is")
