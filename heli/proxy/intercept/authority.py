"""The certificate authority of the interceptor: one for each machine, that can vouch for little.

Its key never leaves its folder. Its certificate is limited, critically, to the hosts that are decrypted,
so that a stolen key cannot impersonate anybody else. When it is replaced, the one before goes on for some
days, for programs that were started before and know only that one.
"""

import datetime
import fcntl
import ipaddress
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from heli.providers.model_hosts import DECRYPTED_HOSTS, as_pattern, subtrees
from heli.schema.errors import UsageError
from heli.schema.paths import Paths, make_private

LIFE = datetime.timedelta(days=365)
"""Of an authority, the hour included by which it is dated back."""
RENEW_BEFORE = datetime.timedelta(days=30)
"""An authority is replaced when it has so long to live."""
OVERLAP = datetime.timedelta(days=7)
"""How long the one before is trusted, and used for programs that know no other."""
LEAF_LIFE = datetime.timedelta(days=2)
BACKDATED = datetime.timedelta(hours=1)
"""For clocks that are behind."""

CERTIFICATE = "ca.pem"
KEY = "ca.key"
PREVIOUS_CERTIFICATE = "previous.pem"
PREVIOUS_KEY = "previous.key"
ALLOWED = "allowed-hosts"


class Authority:
    """A key and the certificate that says what it may sign."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self.certificate = certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def ends_at(self) -> datetime.datetime:
        return self.certificate.not_valid_after_utc

    @property
    def made_at(self) -> datetime.datetime:
        return self.certificate.not_valid_before_utc + BACKDATED

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as browsers and `openssl x509 -fingerprint` spell it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def permitted(self) -> list[str]:
        """The DNS subtrees that it may sign for."""
        constraints = self.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        return [str(name.value) for name in constraints.permitted_subtrees or ()]

    def permits(self, host: str) -> bool:
        return any(host == name or host.endswith(f".{name}") for name in self.permitted)

    def sign_leaf(
        self, host: str, public_key: ec.EllipticCurvePublicKey, now: datetime.datetime
    ) -> x509.Certificate:
        """A short-lived certificate for one host, which need not be one that the authority is limited to."""
        issuer_id = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "heli")]))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(min(now + LEAF_LIFE, self.ends_at))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )


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
    not trust it for a new host. Raises `UsageError` for what is not a host.
    """
    added, removed = [_checked(text) for text in add], {_checked(text) for text in remove}
    current(paths)
    with _locked(paths):
        hosts = [host for host in dict.fromkeys([*allowed_hosts(paths), *added]) if host not in removed]
        _write(paths.authority / ALLOWED, "".join(f"{host}\n" for host in hosts).encode(), 0o600)
        authority = _read(paths.authority, KEY, CERTIFICATE)
        assert authority is not None
        renewed = _certify(authority._key, [*DECRYPTED_HOSTS, *hosts], _now())
        _write(paths.authority / CERTIFICATE, renewed.pem, 0o644)
        return renewed


def certificates(paths: Paths, now: datetime.datetime | None = None) -> list[bytes]:
    """What a program should trust: the authority's certificate and, for some days, the one before. PEM."""
    old = previous(paths, now)
    return [current(paths, now).pem, *([old.pem] if old else [])]


def _replace(paths: Paths, old: Authority | None, now: datetime.datetime, *, keeps_old: bool) -> Authority:
    folder = make_private(paths.authority)
    if old is not None and keeps_old:
        _write(folder / PREVIOUS_CERTIFICATE, old.pem, 0o644)
        _write(folder / PREVIOUS_KEY, _key_pem(old._key), 0o600)
    else:
        _forget_previous(folder)
    made = _certify(ec.generate_private_key(ec.SECP256R1()), [*DECRYPTED_HOSTS, *allowed_hosts(paths)], now)
    _write(folder / KEY, _key_pem(made._key), 0o600)
    _write(folder / CERTIFICATE, made.pem, 0o644)
    return made


def _certify(key: ec.EllipticCurvePrivateKey, hosts: Sequence[str], now: datetime.datetime) -> Authority:
    """A certificate for an authority's key that is limited to these hosts."""
    own_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "heli"),
            # Distinct for each key: some stores look issuers up by name alone.
            x509.NameAttribute(NameOID.COMMON_NAME, f"heli on this machine {own_id.digest.hex()[:8]}"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now - BACKDATED + LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .add_extension(_constraints(hosts), critical=True)
        .add_extension(own_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own_id), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def _constraints(hosts: Sequence[str]) -> x509.NameConstraints:
    """These DNS names and no addresses: a limit on names alone would leave addresses without one."""
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    return x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(name) for name in subtrees(hosts)],
        excluded_subtrees=[x509.IPAddress(network) for network in everything],
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


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


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


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
