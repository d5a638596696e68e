import os
import platform
import subprocess
import sys

import pytest

MIB = 1 << 20
PROGRAM = f"""
import os
import sys
from pathlib import Path

from heli.proxy.large_blocks import keep_large_blocks_apart

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

if sys.argv[1] == "apart":
    keep_large_blocks_apart()
first = b"x" * (16 * {MIB})
del first
before = resident()
large, lasting = [], []
for _ in range(20):
    large.append(b"x" * {MIB})
    lasting.append(b"y" * 1_000)
large.clear()
print(resident() - before)
"""


def _kept(how: str) -> int:
    """How much of twenty blocks of a MiB the process still has when they are free."""
    command = [sys.executable, "-c", PROGRAM, how]
    told = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(told)}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environ)
    return int(ran.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do not keep large blocks")
def test_large_blocks_go_back_to_the_system() -> None:
    assert _kept("as it is") > 10 * MIB
    assert _kept("apart") < MIB
