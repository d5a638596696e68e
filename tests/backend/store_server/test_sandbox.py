"""What a confined process can and cannot do; each case in a process of its own."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

CONFINED = """
import asyncio, os, socket, sys
from pathlib import Path
from heli.backend.store_server.sandbox import confine

folder = Path(sys.argv[1])
port = int(sys.argv[2])
before = open(folder.parent / "before", "w")
reason = confine(folder)
if reason:
    sys.exit(77)
{act}
"""


def confined(act: str, folder: Path, port: int = 0) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    ended = subprocess.run(
        [sys.executable, "-c", CONFINED.replace("{act}", act), str(folder), str(port)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode == 77:
        pytest.skip("this kernel offers no Landlock")
    return ended


@pytest.mark.parametrize(
    "act",
    [
        "(folder / 'x').write_text('x'); (folder / 'x').rename(folder / 'y'); (folder / 'y').unlink()",
        "for name in 'ab': (folder / name).mkdir()\nos.rename(folder / 'a', folder / 'b' / 'a')",
        "import json.tool, zoneinfo, heli.schema.errors",
        "before.write('what is open stays open')",
        "Path('/dev/null').write_text('x')",
    ],
)
def test_it_can_use_its_folder_and_its_libraries(tmp_path: Path, act: str) -> None:
    ended = confined(act, tmp_path / "own")

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "act",
    [
        "(folder.parent / 'before').read_text()",
        "(folder.parent / 'new').write_text('x')",
        "Path('/etc/passwd').read_text()",
        "Path('/proc/self/environ').read_text()",
        "os.listdir('/')",
        "os.rename(folder.parent / 'before', folder / 'stolen')",
        "os.symlink('/etc/passwd', folder / 'link'); (folder / 'link').read_text()",
        "socket.create_connection(('127.0.0.1', port))",
        "socket.create_server(('127.0.0.1', 0))",
        "asyncio.run(asyncio.to_thread(open, '/etc/passwd'))",
    ],
)
def test_it_can_do_nothing_else(tmp_path: Path, act: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = confined(act, tmp_path / "own", listener.getsockname()[1])

    assert ended.returncode == 1
    assert "PermissionError" in ended.stderr or "Invalid cross-device link" in ended.stderr
