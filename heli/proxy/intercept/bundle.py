"""The bundle of certificates that a program under heli trusts: what it trusted before, and heli's authority.

Most programs can only be told to trust one file *instead of* their own. So the file holds everything: the
roots of the system (or certifi's), every root file that the environment names already, and heli's own.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from heli.proxy.intercept.authority import certificates
from heli.proxy.root_files import named_sources, read_sources, system_roots
from heli.schema.paths import Paths, make_private

_BLOCK = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----([^-]*)-----END")
_LARGEST_FILE = 16 * 1024 * 1024
_MOST_IN_FOLDER = 1024
UNUSED_S = 60 * 24 * 3600
"""A bundle that nobody asked for so long is removed."""


def make_bundle(paths: Paths, environ: Mapping[str, str]) -> Path:
    """The bundle for a program with this environment; written anew when anything in it has changed.

    Environments that name the same root files share one, whose place does not change: a program that reads
    it again after the authority was replaced finds the new one in it.
    """
    folder = make_private(paths.state / "bundles")
    sources = named_sources(environ, folder)
    file = folder / f"roots-{hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]}.pem"
    _write_if_changed(file.with_suffix(".json"), json.dumps(sources).encode())
    _write_if_changed(file, _content(sources, certificates(paths)))
    os.utime(file)
    _remove_unused(folder)
    return file


def refresh_bundles(paths: Paths) -> int:
    """Write all bundles anew, as after a change of the authority; return how many there are."""
    count = 0
    for record in (paths.state / "bundles").glob("roots-*.json"):
        sources = read_sources(record)
        if sources is not None:
            _write_if_changed(record.with_suffix(".pem"), _content(sources, certificates(paths)))
            count += 1
    return count


def make_upstream_roots(paths: Paths, environ: Mapping[str, str]) -> Path:
    """The roots by which heli itself judges providers: the same, without heli's own authority."""
    folder = make_private(paths.state / "bundles")
    own = {_der(pem) for pem in certificates(paths)}
    blocks = [block for block in _blocks(named_sources(environ, folder)) if block not in own]
    file = folder / "upstream.pem"
    _write_if_changed(file, b"".join(_pem(block) for block in blocks))
    return file


def _content(sources: Iterable[str], own: Iterable[bytes]) -> bytes:
    blocks = dict.fromkeys([*_blocks(sources), *map(_der, own)])
    return b"".join(_pem(block) for block in blocks)


def _blocks(sources: Iterable[str]) -> list[bytes]:
    """The certificates of the system and of these files and folders, each once, in DER."""
    found: dict[bytes, None] = {}
    for path in (*system_roots(), *map(Path, sources)):
        for file in _files(path):
            found |= dict.fromkeys(_certificates_in(file))
    return list(found)


def _files(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir())[:_MOST_IN_FOLDER] if path.is_dir() else [path]
    except OSError:
        return []


def _certificates_in(file: Path) -> list[bytes]:
    """What cannot be read is left out, as it was for the program that it was meant for."""
    try:
        if not file.is_file() or file.stat().st_size > _LARGEST_FILE:
            return []
        return [der for match in _BLOCK.finditer(file.read_bytes()) if (der := _decode(match[1]))]
    except OSError:
        return []


def _decode(text: bytes) -> bytes:
    try:
        der = base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return b""
    return der[: _der_length(der)]


def _der_length(der: bytes) -> int:
    """How long the certificate is that DER begins with; OpenSSL's "trusted" form has more behind it."""
    if len(der) < 4 or der[0] != 0x30:
        return 0
    if der[1] < 0x80:
        return 2 + der[1]
    digits = der[1] & 0x7F
    return 2 + digits + int.from_bytes(der[2 : 2 + digits])


def _der(pem: bytes) -> bytes:
    match = _BLOCK.search(pem)
    return _decode(match[1]) if match else b""


def _pem(der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = [text[index : index + 64] for index in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])


def _write_if_changed(file: Path, content: bytes) -> None:
    """Replace a file as a whole; programs may be reading it."""
    try:
        if file.read_bytes() == content:
            return
    except OSError:
        pass
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    Path(draft).replace(file)


def _remove_unused(folder: Path) -> None:
    oldest = time.time() - UNUSED_S
    for file in folder.glob("roots-*.pem"):
        if file.stat().st_mtime < oldest:
            file.unlink(missing_ok=True)
            file.with_suffix(".json").unlink(missing_ok=True)
