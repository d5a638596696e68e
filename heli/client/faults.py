"""What went wrong on a call to the backend, as one of heli's errors. The one handler of the client."""

import contextlib
from collections.abc import Iterator

import msgspec

from heli.client.light_httpx import httpx
from heli.schema.errors import (
    ConflictError,
    DeniedError,
    HeliError,
    NotFoundError,
    UnreachableError,
    UsageError,
)

BY_STATUS: dict[int, type[HeliError]] = {
    400: UsageError,
    422: UsageError,
    401: DeniedError,
    403: DeniedError,
    404: NotFoundError,
    409: ConflictError,
    502: UnreachableError,
    503: UnreachableError,
    504: UnreachableError,
}


BY_CODE = {kind.code: kind for kind in BY_STATUS.values()}


class _Detail(msgspec.Struct):
    message: str
    code: str = ""
    hint: str = ""


class _Body(msgspec.Struct):
    error: _Detail


@contextlib.contextmanager
def told(base_url: str) -> Iterator[None]:
    """Turn what httpx raises into a sentence and what to do."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise UnreachableError(
            f"the backend does not answer at {base_url}", "start it with `heli up`"
        ) from error
    except httpx.TimeoutException as error:
        raise UnreachableError(
            f"the backend at {base_url} takes too long to answer", "`heli status` tells how it is"
        ) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise UsageError(f"backend.url is not a URL: {base_url!r} ({error})", "see `heli config`") from error
    except httpx.TransportError as error:
        raise UnreachableError(
            f"the connection to the backend at {base_url} broke",
            "try again; `heli status` tells how it is",
        ) from error


def check(response: httpx.Response) -> None:
    """Raise what an answer says is wrong; its body must have been read."""
    if response.is_success:
        return
    kind = BY_STATUS.get(response.status_code, HeliError)
    try:
        detail = msgspec.json.decode(response.content, type=_Body).error
    except msgspec.DecodeError:
        raise kind(
            f"the backend at {response.url} answered {response.status_code}",
            "is that heli? `heli status` and backend.url in `heli config` tell",
        ) from None
    raise kind(detail.message, detail.hint)


def of_event(data: str) -> HeliError:
    """The error that an event of a stream tells of. Raises `DecodeError` for what is none."""
    detail = msgspec.json.decode(data, type=_Detail)
    return BY_CODE.get(detail.code, HeliError)(detail.message, detail.hint)


def unreadable(response: httpx.Response, error: Exception) -> HeliError:
    """An answer that is not what the route should say: another program, or another version."""
    return HeliError(
        f"the backend's answer to {response.url} cannot be read: {error}",
        "are backend and command of the same version? `heli status` shows the processes",
    )
