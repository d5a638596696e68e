"""A certificate authority for tests, and servers' certificates: good ones, and such as must be refused."""

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from heli.providers.model_hosts import DECRYPTED_HOSTS
from heli.proxy.intercept.authority import CERTIFICATE, KEY
from heli.proxy.intercept.certificates import certify
from heli.schema.paths import Paths, make_private


class Root:
    """An authority of the world outside: a company's, or the public web's."""

    def __init__(self, folder: Path, name: str = "test root") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False
        ) | dict.fromkeys(("key_agreement", "encipher_only", "decipher_only"), False)
        certificate = (
            _builder(self._name, self._name, self._key.public_key(), days=30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(own, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self._id = own
        self.file = folder / f"{name.replace(' ', '-')}.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, *names: str, days: int = 30, name: str = "server") -> Path:
        """A PEM file with a server's certificate and key; with negative `days` it has ended."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        builder = _builder(subject, self._name, key.public_key(), days).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._id), critical=False
        )
        certificate = _for_servers(builder, key, names).sign(self._key, hashes.SHA256())
        return write_pem(self._folder / f"{name}.pem", key, certificate)


def make_aged(paths: Paths, lacking: Sequence[str]) -> None:
    """heli's authority as it was made when heli did not know these hosts."""
    key = ec.generate_private_key(ec.SECP256R1())
    known = [host for host in DECRYPTED_HOSTS if host.removeprefix("*.") not in lacking]
    made = certify(key, known, datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=30))
    make_private(paths.authority)
    (paths.authority / CERTIFICATE).write_bytes(made.pem)
    (paths.authority / KEY).write_bytes(made.key_pem)


def self_signed(folder: Path, *names: str) -> Path:
    """A certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    builder = _builder(subject, subject, key.public_key(), days=30)
    certificate = _for_servers(builder, key, names).sign(key, hashes.SHA256())
    return write_pem(folder / "self-signed.pem", key, certificate)


def write_pem(file: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Path:
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *form)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _for_servers(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, names: Sequence[str]
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
