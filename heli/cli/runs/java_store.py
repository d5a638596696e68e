"""The bundle as a PKCS#12 file, the form in which Java takes roots."""

import contextlib
import hashlib
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from heli.cli.runs.kit import Java

if TYPE_CHECKING:
    from cryptography import x509

PASSWORD = "changeit"  # noqa: S105 - Java's own for stores that hold no secret; it wants one
_LARGEST_NAME = 100


def make_java_store(bundle: Path) -> Java:
    """The store beside the bundle, written anew when the bundle has changed."""
    store = bundle.with_suffix(".p12")
    pem = bundle.read_bytes()
    made_of = store.with_suffix(".p12-of")
    digest = hashlib.sha256(pem).hexdigest()
    try:
        is_fresh = store.is_file() and made_of.read_text() == digest
    except OSError:
        is_fresh = False
    if not is_fresh:
        _write(store, pem)
        made_of.write_text(digest)
    return Java(store=store, password=PASSWORD)


def _readable(pem: bytes) -> "Iterator[x509.Certificate]":
    """Some systems' roots are odd, and every other reader leaves those out that it cannot read."""
    from cryptography import x509

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem, re.DOTALL):
            with contextlib.suppress(ValueError):
                yield x509.load_pem_x509_certificate(block)


def _write(store: Path, pem: bytes) -> None:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    roots = [
        pkcs12.PKCS12Certificate(certificate, f"root-{number}".encode())
        for number, certificate in enumerate(_readable(pem))
    ]
    content = pkcs12.serialize_java_truststore(roots, BestAvailableEncryption(PASSWORD.encode()))
    descriptor, draft = tempfile.mkstemp(dir=store.parent, prefix=f".{store.name}.")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    Path(draft).replace(store)
