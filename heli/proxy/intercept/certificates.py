"""An authority's certificate, which can vouch for little, and those that it signs.

The certificate is limited, critically, to the hosts that are decrypted, so that a stolen key cannot
impersonate anybody else.
"""

import datetime
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from heli.providers.model_hosts import subtrees

LIFE = datetime.timedelta(days=365)
"""Of an authority, the hour included by which it is dated back."""
LEAF_LIFE = datetime.timedelta(days=2)
BACKDATED = datetime.timedelta(hours=1)
"""For clocks that are behind."""


class Authority:
    """A key and the certificate that says what it may sign."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.key = key
        self.certificate = certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The secret itself."""
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, *form)

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
            .sign(self.key, hashes.SHA256())
        )


def certify(key: ec.EllipticCurvePrivateKey, hosts: Sequence[str], now: datetime.datetime) -> Authority:
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
