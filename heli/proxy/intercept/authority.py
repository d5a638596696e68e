"""The certificate authority of the interceptor, one for each machine: where it is, and how it is replaced.

Its key never leaves its folder. When it is replaced, the one before goes on for some days, for programs that
were started before and know only that one.
"""

import datetime
import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from heli.providers.model_hosts import DECRYPTED_HOSTS, HostList, as_pattern, subtrees
from heli.proxy.intercept.certificates import Authority, certify
from heli.schema.errors import NotFoundError, UsageError
from heli.schema.paths import Paths, make_private

RENEW_BEFORE = datetime.timedelta(days=30)
"""An authority is replaced when it has so long to live."""
OVERLAP = datetime.timedelta(days=7)
"""How long the one before is trusted, and used for programs that know no other."""

CERTIFICATE = "ca.pem"
KEY = "ca.key"
PREVIOUS_CERTIFICATE = "previous.pem"
PREVIOUS_KEY = "previous.key"
ALLOWED = "allowed-hosts"


def certificate_file(paths: Paths) -> Path:
    """The file that holds the authority's certificate; the authority is made when there is none.

    It is replaced when it is about to end.
    """
    current(paths)
    return paths.authority / CERTIFICATE


def current(paths: Paths, now: datetime.datetime | None = None) -> Authority:
    """The authority; made when there is none, replaced when it is about to end or cannot be read."""
    now = now or _now()
    with _locked(paths):
        authority = _read(paths.authority, KEY, CERTIFICATE)
        if authority is not None and now < authority.ends_at - RENEW_BEFORE:
            return authority
        return _replace(paths, authority, now, keeps_old=True)


def previous(paths: Paths, now: datetime.datetime | None = None) -> Authority | None:
    """The authority before, for as long as programs may know no other."""
    now = now or _now()
    with _locked(paths):
        authority = _read(paths.authority, PREVIOUS_KEY, PREVIOUS_CERTIFICATE)
        newer = _read(paths.authority, KEY, CERTIFICATE)
        if authority is None or newer is None:
            return None
        if now < min(newer.made_at + OVERLAP, authority.ends_at):
            return authority
        _forget_previous(paths.authority)
        return None


def rotate(paths: Paths, *, at_once: bool, now: datetime.datetime | None = None) -> Authority:
    """Replace the authority. `at_once`, the one before is destroyed instead of kept for some days."""
    with _locked(paths):
        return _replace(paths, _read(paths.authority, KEY, CERTIFICATE), now or _now(), keeps_old=not at_once)


def allowed_hosts(paths: Paths) -> list[str]:
    """The hosts and patterns that the user added to those that heli knows."""
    try:
        lines = (paths.authority / ALLOWED).read_text().split()
    except (OSError, UnicodeDecodeError):
        return []
    return [line for line in lines if _is_pattern(line)]


def change_allowed(paths: Paths, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Authority:
    """Add hosts to those that are decrypted, or take such away again.

    The authority keeps its key and gets a certificate with other limits, so what trusts the one before does
    not trust it for a new host. Where all are decrypted already it stays as it is. Raises `UsageError` for
    what is not a host, `NotFoundError` for one to be taken away that the user did not add.
    """
    added, removed = [_checked(text) for text in add], [_checked(text) for text in remove]
    for host in removed:
        _check_allowed(paths, host)
    current(paths)
    with _locked(paths):
        authority = _read(paths.authority, KEY, CERTIFICATE)
        assert authority is not None
        before, known = allowed_hosts(paths), HostList()
        new = [host for host in added if host not in known]
        hosts = [host for host in dict.fromkeys([*before, *new]) if host not in removed]
        if hosts == before and all(authority.permits(name) for name in subtrees(added)):
            return authority
        _write(paths.authority / ALLOWED, "".join(f"{host}\n" for host in hosts).encode(), 0o600)
        renewed = certify(authority.key, [*DECRYPTED_HOSTS, *hosts], _now())
        _write(paths.authority / CERTIFICATE, renewed.pem, 0o644)
        return renewed


def _check_allowed(paths: Paths, host: str) -> None:
    if host in allowed_hosts(paths):
        return
    stays = "heli knows it by itself, so it stays decrypted" if host in HostList() else ""
    raise NotFoundError(
        f"{host} is not among the hosts that you allowed", stays or "`heli ca show` lists them"
    )


def unreached(paths: Paths, authority: Authority) -> list[str]:
    """The hosts to be decrypted for which it may not sign, as it was made before they were known. Sorted."""
    return [
        name for name in subtrees([*DECRYPTED_HOSTS, *allowed_hosts(paths)]) if not authority.permits(name)
    ]


def certificates(paths: Paths, now: datetime.datetime | None = None) -> list[bytes]:
    """What a program should trust: the authority's certificate and, for some days, the one before. PEM."""
    old = previous(paths, now)
    return [current(paths, now).pem, *([old.pem] if old else [])]


def _replace(paths: Paths, old: Authority | None, now: datetime.datetime, *, keeps_old: bool) -> Authority:
    folder = make_private(paths.authority)
    if old is not None and keeps_old:
        _write(folder / PREVIOUS_CERTIFICATE, old.pem, 0o644)
        _write(folder / PREVIOUS_KEY, old.key_pem, 0o600)
    else:
        _forget_previous(folder)
    made = certify(ec.generate_private_key(ec.SECP256R1()), [*DECRYPTED_HOSTS, *allowed_hosts(paths)], now)
    _write(folder / KEY, made.key_pem, 0o600)
    _write(folder / CERTIFICATE, made.pem, 0o644)
    return made


def _read(folder: Path, key_name: str, certificate_name: str) -> Authority | None:
    """An authority from its two files; `None` when they are not there or do not belong together."""
    try:
        key = serialization.load_pem_private_key((folder / key_name).read_bytes(), None)
        certificate = x509.load_pem_x509_certificate((folder / certificate_name).read_bytes())
    except (OSError, ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return Authority(key, certificate)


def _forget_previous(folder: Path) -> None:
    for name in (PREVIOUS_KEY, PREVIOUS_CERTIFICATE):
        (folder / name).unlink(missing_ok=True)


def _write(file: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all; it never had a wider mode, whatever the umask."""
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(draft).replace(file)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


@contextmanager
def _locked(paths: Paths) -> Iterator[None]:
    """One process at a time: two that start together make one authority."""
    folder = make_private(paths.authority)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _checked(text: str) -> str:
    try:
        return as_pattern(text)
    except ValueError as error:
        raise UsageError(str(error), "write a name like api.example.com, or *.example.com") from error


def _is_pattern(text: str) -> bool:
    try:
        return as_pattern(text) == text
    except ValueError:
        return False


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
