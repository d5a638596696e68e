"""The bundle as a PKCS#12 file, the form in which Java takes roots."""

import os
import tempfile
from pathlib import Path

from heli.cli.runs.kit import Java

PASSWORD = "changeit"  # noqa: S105 - Java's own for stores that hold no secret; it wants one
_LARGEST_NAME = 100


def make_java_store(bundle: Path) -> Java:
    """The store beside the bundle, written anew when the bundle is newer."""
    store = bundle.with_suffix(".p12")
    try:
        is_fresh = store.stat().st_mtime_ns >= _changed_at(bundle)
    except OSError:
        is_fresh = False
    if not is_fresh:
        _write(store, bundle.read_bytes())
    return Java(store=store, password=PASSWORD)


def _changed_at(bundle: Path) -> int:
    """Bundles are touched when they are used: the status change of the file tells nothing."""
    return bundle.stat().st_mtime_ns


def _write(store: Path, pem: bytes) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    roots = [
        pkcs12.PKCS12Certificate(certificate, f"root-{number}".encode())
        for number, certificate in enumerate(x509.load_pem_x509_certificates(pem))
    ]
    content = pkcs12.serialize_java_truststore(roots, BestAvailableEncryption(PASSWORD.encode()))
    descriptor, draft = tempfile.mkstemp(dir=store.parent, prefix=f".{store.name}.")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    Path(draft).replace(store)
