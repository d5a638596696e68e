"""Whose call it is: the run that `heli run` started, by the user name in the proxy's URL or by the process.

A client that drops the user name is found by its connection: the kernel knows which process holds the other
end of it, and whether that descends from a run. Only Linux tells; elsewhere such calls have no run.
"""

import asyncio
import itertools
import logging
import socket
import sys
import time
from collections import OrderedDict
from pathlib import Path

from heli.proxy.gateway.faults import strike
from heli.schema.run import Run, read_run

log = logging.getLogger(__name__)

MOST_KNOWN = 256
FRESH_S = 2.0
"""What is known of a run's file, and which runs are alive, holds so long."""
LOOK_UP_S = 1.0
"""A search for a process that takes longer is given up."""
_PROC = Path("/proc")
_MOST_FDS = 4096
_BYTE_ORDER = sys.byteorder


class Runs:
    """The runs of one runs folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.faults = 0
        """Searches for a process that failed."""
        self._known: OrderedDict[str, tuple[float, Run | None]] = OrderedDict()
        self._alive: tuple[float, list[Run]] = (0.0, [])

    def named(self, name: str) -> Run | None:
        """The run whose id this is."""
        if not name.startswith("run-"):
            return None
        known = self._known.get(name)
        if known is not None and time.monotonic() - known[0] < FRESH_S:
            return known[1]
        run = read_run(self._folder, name)
        self._known[name] = (time.monotonic(), run)
        self._known.move_to_end(name)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return run

    async def of_peer(self, peer: tuple[str, int], own: tuple[str, int]) -> Run | None:
        """The run from which the process descends that holds the other end of a connection.

        Never raises; whatever it cannot find out is nobody's.
        """
        try:
            strike("search")
            async with asyncio.timeout(LOOK_UP_S):
                return await asyncio.to_thread(self._look_up, peer, own)
        except (TimeoutError, OSError):
            return None
        except Exception:
            self.faults += 1
            log.debug("the process of a connection cannot be found", exc_info=True)
            return None

    def _look_up(self, peer: tuple[str, int], own: tuple[str, int]) -> Run | None:
        runs = {run.pid: run for run in self._list_alive()}
        inode = _inode_of(peer, own) if runs else ""
        if not inode:
            return None
        parents = _parents()
        for pid in parents:
            ancestor = _find_ancestor(pid, parents, runs)
            if ancestor and _holds(pid, inode):
                return runs[ancestor]
        return None

    def _list_alive(self) -> list[Run]:
        """The newest runs whose program is still there."""
        seen, runs = self._alive
        if time.monotonic() - seen < FRESH_S / 4:
            return runs
        files = sorted(self._folder.glob("run-*.json"), key=_changed, reverse=True)[:MOST_KNOWN]
        found = [run for file in files if (run := read_run(self._folder, file.stem))]
        runs = [run for run in found if (_PROC / str(run.pid)).exists()]
        self._alive = time.monotonic(), runs
        return runs


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _inode_of(peer: tuple[str, int], own: tuple[str, int]) -> str:
    """The inode of the socket whose own address is `peer` and whose other end is `own`."""
    for table, is_six in (("tcp", False), ("tcp6", True)):
        wanted = [f"{_hex(address, is_six)}:{port:04X}" for address, port in (peer, own)]
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[1:3] == wanted:
                return fields[9]
    return ""


def _hex(address: str, is_six: bool) -> str:
    """An address as the kernel's tables spell it: words of 32 bits in the machine's own order."""
    if ":" in address:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    else:
        packed = socket.inet_aton(address)
        if is_six:
            packed = b"\0" * 10 + b"\xff\xff" + packed
    words = (packed[index : index + 4] for index in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, _BYTE_ORDER):08X}" for word in words)


def _parents() -> dict[int, int]:
    """`{pid: parent}` of all processes, newest first as far as ids tell."""
    found = {}
    for entry in sorted((int(each.name) for each in _PROC.iterdir() if each.name.isdigit()), reverse=True):
        try:
            stat = (_PROC / str(entry) / "stat").read_text()
            found[entry] = int(stat.rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
    return found


def _find_ancestor(pid: int, parents: dict[int, int], wanted: dict[int, Run]) -> int:
    for _ in range(64):
        if pid in wanted:
            return pid
        pid = parents.get(pid, 0)
        if pid <= 1:
            break
    return 0


def _holds(pid: int, inode: str) -> bool:
    link = f"socket:[{inode}]"
    folder = _PROC / str(pid) / "fd"
    try:
        links = list(itertools.islice(folder.iterdir(), _MOST_FDS))
    except OSError:
        return False
    for each in links:
        try:
            if str(each.readlink()) == link:
                return True
        except OSError:
            continue
    return False
