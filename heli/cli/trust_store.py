"""Where a machine keeps the authorities that all its programs trust, and how one is added and taken away.

Best effort: what is known are the folders of the Linux families, the NSS store that browsers on Linux read,
and the login keychain of macOS. Each change can be undone by name, whatever became of heli's authority since.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from heli.schema.paths import Paths, make_private

NAME = "heli-local-authority"
_NOTED = "trusted-by"


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """One trust store."""

    name: str
    file: Path | None = None
    """Where the certificate is put, for stores that are a folder."""
    add: list[list[str]]
    """Commands that add a certificate, whose file stands where they say `CERTIFICATE`."""
    remove: list[list[str]]
    is_there: list[str] = []
    """A command that succeeds when the certificate is in the store; for those that are no folder."""

    def trust(self, certificate: Path) -> list[list[str]]:
        return [[str(certificate) if word == "CERTIFICATE" else word for word in step] for step in self.add]

    def untrust(self) -> list[list[str]]:
        return self.remove

    def holds(self, paths: Paths) -> bool:
        """Whether heli's certificate is in it."""
        if self.file is not None:
            return self.file.exists()
        try:
            return subprocess.run(self.is_there, capture_output=True, check=False).returncode == 0  # noqa: S603
        except OSError:
            return self.name in _read_noted(paths)


_FAMILIES = (
    ("Debian and Ubuntu", "usr/local/share/ca-certificates", ["update-ca-certificates", "--fresh"]),
    ("Fedora and Red Hat", "etc/pki/ca-trust/source/anchors", ["update-ca-trust", "extract"]),
    ("openSUSE", "etc/pki/trust/anchors", ["update-ca-certificates"]),
    ("Arch", "etc/ca-certificates/trust-source/anchors", ["update-ca-trust"]),
)


def find_stores(root: Path, environ: Mapping[str, str]) -> list[Store]:
    """The trust stores that this machine has."""
    if sys.platform == "darwin":
        return [_keychain(environ)]
    folders = [
        _folder(name, root / folder, update)
        for name, folder, update in _FAMILIES
        if (root / folder).is_dir() and shutil.which(update[0])
    ]
    database = Path(environ.get("HOME", "/nowhere")) / ".pki" / "nssdb"
    has_nss = database.is_dir() and shutil.which("certutil")
    return [*folders[:1], *([_nss(database)] if has_nss else [])]


def _folder(name: str, folder: Path, update: list[str]) -> Store:
    file = folder / f"{NAME}.crt"
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    return Store(
        name=name,
        file=file,
        add=[[*as_root, "install", "-m", "0644", "CERTIFICATE", str(file)], [*as_root, *update]],
        remove=[[*as_root, "rm", "-f", str(file)], [*as_root, *update]],
    )


def _nss(database: Path) -> Store:
    base = ["certutil", "-d", f"sql:{database}"]
    return Store(
        name="browsers on Linux",
        add=[[*base, "-A", "-t", "C,,", "-n", NAME, "-i", "CERTIFICATE"]],
        remove=[[*base, "-D", "-n", NAME]],
        is_there=[*base, "-L", "-n", NAME],
    )


def _keychain(environ: Mapping[str, str]) -> Store:
    keychain = str(Path(environ.get("HOME", "")) / "Library/Keychains/login.keychain-db")
    return Store(
        name="login keychain",
        add=[["security", "add-trusted-cert", "-r", "trustRoot", "-k", keychain, "CERTIFICATE"]],
        remove=[["security", "delete-certificate", "-c", "heli on this machine", "-t", keychain]],
        is_there=["security", "find-certificate", "-c", "heli on this machine", keychain],
    )


def note(paths: Paths, stores: list[Store]) -> None:
    """Remember which stores hold the certificate."""
    file = make_private(paths.authority) / _NOTED
    file.write_text("".join(f"{store.name}\n" for store in stores))
    file.chmod(0o600)


def was_noted(paths: Paths) -> bool:
    return bool(_read_noted(paths))


def forget(paths: Paths) -> None:
    (paths.authority / _NOTED).unlink(missing_ok=True)


def _read_noted(paths: Paths) -> list[str]:
    try:
        return (paths.authority / _NOTED).read_text().splitlines()
    except OSError:
        return []
