"""Installs the proxies that heli is measured against, each into a folder of its own under `.peers`."""

import shutil
import subprocess
import sys

from processes import HERE, BenchError

PEERS = HERE / ".peers"

LITELLM = "litellm[proxy]==1.106.2"
MITMPROXY = "mitmproxy==12.2.3"
PORTKEY = "@portkey-ai/gateway@1.15.2"


def install_from_pypi(name: str, requirement: str) -> None:
    def install() -> None:
        subprocess.run([sys.executable, "-m", "venv", "--clear", PEERS / name], check=True)
        subprocess.run([PEERS / name / "bin/python", "-m", "pip", "install", "-q", requirement], check=True)

    _once(name, requirement, install)


def install_from_npm(name: str, package: str) -> None:
    if not shutil.which("npm"):
        raise BenchError("npm not found: on Debian, apt install nodejs npm")

    def install() -> None:
        folder = PEERS / name
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-save", "--silent", "--prefix", folder, package]
        subprocess.run(command, check=True)

    _once(name, package, install)


def _once(name, what, install) -> None:
    stamp = PEERS / name / ".installed"
    if stamp.is_file() and stamp.read_text() == what:
        return
    print(f"installing {what} into bench/.peers/{name}", file=sys.stderr)
    try:
        install()
    except subprocess.CalledProcessError as error:
        raise BenchError(f"{what} could not be installed") from error
    stamp.write_text(what)
