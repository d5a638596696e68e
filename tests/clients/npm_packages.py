"""Packages from npm for tests, installed once into a cache folder of the user's."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import platformdirs
import pytest

INSTALL_S = 540
SDKS = ("openai@6.49.0", "@anthropic-ai/sdk@1.13.0", "node@24.9.0")
"""With a Node whose own fetch heeds a proxy, whatever the machine has."""
AGENTS = ("@anthropic-ai/claude-code", "@openai/codex", "node@24.9.0")
"""As they are today: what users have."""


def install(packages: tuple[str, ...]) -> Path:
    """The folder with `node_modules` of these packages. Skips the test where npm is missing or offline.

    On CI neither is accepted.
    """
    npm = shutil.which("npm")
    if npm is None:
        _give_up("needs npm")
        raise AssertionError("unreachable")
    folder = (
        platformdirs.user_cache_path("heli-tests")
        / f"npm-{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:12]}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            words = [npm, "install", "--prefix", str(folder), "--no-fund", "--no-audit", *packages]
            done = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_S, check=False)
            if done.returncode:
                _give_up(f"npm cannot install {', '.join(packages)}: {done.stderr.strip()[-300:]}")
            (folder / "complete").touch()
    return folder


def _give_up(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def node_of(folder: Path) -> str:
    """The Node among the packages."""
    return str(folder / "node_modules" / ".bin" / "node")
