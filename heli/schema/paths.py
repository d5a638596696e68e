"""Where heli keeps its files. `HELI_HOME` moves them all; otherwise each goes where the platform wants it."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec


class Paths(msgspec.Struct, frozen=True):
    """The four folders. Everything in them is private: 0700 folders, 0600 files."""

    config: Path
    data: Path
    """What must not be lost: the stores, the bodies, the spool."""
    state: Path
    """What a running heli needs: process files, secrets, logs."""
    cache: Path

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        if home := environ.get("HELI_HOME"):
            root = Path(home).expanduser().absolute()
            return cls(root, root / "data", root / "state", root / "cache")
        import platformdirs

        return cls(
            platformdirs.user_config_path("heli"),
            platformdirs.user_data_path("heli"),
            platformdirs.user_state_path("heli"),
            platformdirs.user_cache_path("heli"),
        )

    @property
    def config_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def prices_file(self) -> Path:
        return self.config / "prices.toml"

    @property
    def database(self) -> Path:
        return self.data / "heli.sqlite"

    @property
    def request_log(self) -> Path:
        """The folder of the embedded ClickHouse engine."""
        return self.data / "store"

    @property
    def bodies(self) -> Path:
        return self.data / "bodies"

    @property
    def spool(self) -> Path:
        """Holds one folder for each gateway worker."""
        return self.data / "spool"

    @property
    def dead_letters(self) -> Path:
        return self.data / "dead-letters"

    @property
    def processes(self) -> Path:
        """One JSON file for each running process."""
        return self.state / "processes"

    @property
    def runs(self) -> Path:
        """One JSON file for each program that `heli run` started."""
        return self.state / "runs"

    @property
    def authority(self) -> Path:
        """The certificate authority of the interceptor: key, certificate, allowed hosts."""
        return self.state / "ca"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def ingest_token(self) -> Path:
        return self.state / "ingest-token"

    @property
    def gateway_id(self) -> Path:
        """By which a backend knows this machine's gateway again."""
        return self.state / "gateway-id"

    @property
    def intercept_secret(self) -> Path:
        """What the interceptor shows to the gateway, and its owner to the interceptor."""
        return self.state / "intercept-secret"

    @property
    def store_password(self) -> Path:
        return self.state / "store-password"


def make_private(folder: Path) -> Path:
    """Make a folder, with its parents, that only its owner may enter."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def read_or_make_secret(file: Path) -> str:
    """The secret in a file of mode 0600; made, once, when there is none. Safe against a race to make it."""
    make_private(file.parent)
    if not file.exists():
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(32))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_text().strip()
