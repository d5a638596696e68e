"""Starts what is measured, each on its core, and ends it by its id; knows nothing of what it starts."""

import json
import mmap
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / ".build"

PROXY_CORE, CALLER_CORE = 0, 1
MOST_WARMED_BYTES = 8 << 30


class BenchError(Exception):
    """Something that the benchmark needs is missing or does not answer."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stay_off_the_proxies_core() -> None:
    """The benchmark itself measures from the callers' core."""
    os.sched_setaffinity(0, {CALLER_CORE})


def warm_memory() -> None:
    """Have the machine touch the memory that the run will use, once.

    A virtual machine gets each page from its host when it is first touched, which takes many times as long as
    every touch after it. A machine that has been up for a day has paid that; one made a moment ago would
    charge it to whichever target happens to write first.
    """
    size = min(MOST_WARMED_BYTES, _available_bytes() // 2)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, size, flags=flags).close()


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def on_core(core: int, command: Sequence[str | Path]) -> list[str]:
    """taskset becomes the command, under the same process id."""
    return ["taskset", "-c", str(core), *map(str, command)]


@contextmanager
def started(
    command: Sequence[str | Path],
    *,
    core: int,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process and its children on one core, in a process group of their own, ended with the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            on_core(core, command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    for sent, patience_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
        if not family(process.pid):
            return


def wait_until(
    is_ready: Callable[[], bool], what: str, timeout_s: float = 60.0, every_s: float = 0.002
) -> float:
    """Seconds until `is_ready`."""
    begun = time.monotonic()
    while not is_ready():
        if time.monotonic() - begun > timeout_s:
            raise BenchError(f"{what} did not happen within {timeout_s:.0f} s")
        time.sleep(every_s)
    return time.monotonic() - begun


def wait_for_answer(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> float:
    """Seconds until a process that was started just now speaks HTTP."""

    def is_up() -> bool:
        if process.poll() is not None:
            raise BenchError(f"{command_of(process)} ended with {process.returncode}; its log is {log}")
        return answers(port, path)

    return wait_until(is_up, f"an answer of {command_of(process)} (its log is {log})", 120)


def command_of(process: subprocess.Popen[bytes]) -> str:
    return " ".join(map(str, process.args)) if isinstance(process.args, list) else str(process.args)


def answers(port: int, path: str = "/", headers: Mapping[str, str] | None = None) -> bool:
    """Whether anything speaks HTTP there; its status does not matter."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def family(pid: int) -> list[int]:
    """The living processes of the group that `pid` leads."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_s(pids: Sequence[int]) -> float:
    """Processor time that these processes have used, in seconds."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def run_json(command: Sequence[str | Path], *, core: int, timeout_s: float, env: Mapping[str, str]) -> dict:
    """Run a measuring tool to its end; its last line of output is a JSON object."""
    done = subprocess.run(
        on_core(core, command),
        capture_output=True,
        timeout=timeout_s,
        env={**os.environ, **env},
        check=False,
    )
    if done.returncode:
        raise BenchError(
            f"{command[0]} failed: {done.stderr.decode().strip() or done.stdout.decode().strip()}"
        )
    measured: dict = json.loads(done.stdout.decode().strip().splitlines()[-1])
    return measured
