"""How fast captured exchanges get from the spool into the request log, with all of heli on one core.

Three measurements: a full spool is drained while the gateway rests; calls come at a fixed rate; calls come as
fast as they are answered. What was stored is counted in the request log at the end: each call, once.
"""

import json
import shutil
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import load
from processes import (
    BUILD,
    CALLER_CORE,
    PROXY_CORE,
    BenchError,
    answers,
    cpu_s,
    family,
    free_port,
    started,
    stay_off_the_proxies_core,
    wait_until,
)
from targets import HELI, heli_env

HOME = BUILD / "heli"
SPOOL = HOME / "data" / "spool"

FULL_SPOOL = 30_000
PACED_RATE, PACED_S = 300, 20
SATURATED_S = 10


def measure() -> dict:
    """`{drain, paced, saturated}`."""
    shutil.rmtree(HOME, ignore_errors=True)
    upstream, openai = free_port(), free_port()
    env = heli_env(upstream, openai, free_port)
    backend = int(env["HELI_PORTS__BACKEND"])
    with ExitStack() as stack:
        standin = [BUILD / "standin", upstream, load.STREAM_EVENTS, load.STREAM_INTERVAL_MS]
        stack.enter_context(started(standin, core=CALLER_CORE, log=BUILD / "standin.log"))
        pids = {"gateway": stack.enter_context(serve("gateway", env)).pid}
        wait_until(lambda: answers(openai, "/healthcheck"), "the start of the gateway")
        made = fill(openai)
        pids["store"] = stack.enter_context(serve("store", env)).pid
        pids["backend"] = stack.enter_context(serve("backend", env)).pid
        wait_until(lambda: is_ready(backend), "the start of the backend")
        figures = {"drain": drain(made, pids), "paced": paced(openai), "saturated": saturated(openai)}
        made += figures["paced"]["calls"] + figures["saturated"]["calls"]
        figures["stored"] = count_stored(backend)
    if figures["stored"] != made:
        raise BenchError(f"{made} calls were made, but {figures['stored']} exchanges are in the log")
    return figures


def serve(process: str, env: dict[str, str]):
    return started([HELI, "serve", process], core=PROXY_CORE, log=BUILD / f"heli-{process}.log", env=env)


def fill(openai: int) -> int:
    """Let calls gather in the spool, while there is no backend; how many."""
    made = 0
    while made < FULL_SPOOL:
        made += completed(load.calls(openai, {}, 1, connections=8))
    wait_until(lambda: waiting() == made, f"the sync of {made} exchanges", every_s=0.5)
    return made


def drain(made: int, pids: dict[str, int]) -> dict:
    """From the first batch that was acknowledged to the last. `pids` is `{process: leader of its group}`."""
    wait_until(lambda: acknowledged() > 0, "the first batch")
    begun, already = time.monotonic(), acknowledged()
    used = {name: cpu_s(family(pid)) for name, pid in pids.items()}
    wait_until(lambda: acknowledged() >= made, "the end of the spool", 300)
    seconds, left = time.monotonic() - begun, made - already
    return {
        "exchanges": left,
        "seconds": round(seconds, 2),
        "per_second": round(left / seconds, 1),
        "cpu_us": {
            name: round((cpu_s(family(pid)) - used[name]) / left * 1e6, 1) for name, pid in pids.items()
        },
    }


def paced(openai: int) -> dict:
    before = acknowledged()
    with watched() as seen:
        row = load.calls(openai, {}, PACED_S, connections=load.CONNECTIONS, rate=PACED_RATE)
    calls = completed(row)
    return {
        "rate": PACED_RATE,
        "calls": calls,
        "p50_ms": row["whole_p50"] / 1000,
        "p99_ms": row["whole_p99"] / 1000,
        "most_waiting": max(seen),
        "drained_s": round(drained(before + calls), 2),
    }


def saturated(openai: int) -> dict:
    before = acknowledged()
    row = load.calls(openai, {}, SATURATED_S, connections=load.CONNECTIONS)
    calls, stored = completed(row), acknowledged() - before
    return {
        "connections": load.CONNECTIONS,
        "calls": calls,
        "calls_per_second": row["per_second"],
        "stored_per_second": round(stored / SATURATED_S, 1),
        "drained_s": round(drained(before + calls), 2),
    }


def drained(goal: int) -> float:
    """Seconds until so many exchanges were acknowledged."""
    return wait_until(lambda: acknowledged() >= goal, "the end of the spool", 600)


def completed(row: dict) -> int:
    if row["failed"] or row["unfinished"]:
        raise BenchError(f"{row['failed']} calls failed, {row['unfinished']} did not end")
    return row["completed"]


@contextmanager
def watched() -> Iterator[list[int]]:
    """How many exchanges wait, looked at twice a second."""
    seen, is_over = [waiting()], threading.Event()

    def look() -> None:
        while not is_over.wait(0.5):
            seen.append(waiting())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def acknowledged() -> int:
    """How many exchanges the backend has taken, by the shipper's ledgers; cheap to ask."""
    from heli.proxy.spool.ledger import read_ledger

    return sum(read_ledger(folder).exchanges for folder in SPOOL.iterdir() if folder.is_dir())


def waiting() -> int:
    """How many exchanges wait in the spool; reads all of them."""
    return sum(row["records"] for row in survey_spool(HOME))


def survey_spool(home: Path) -> list[dict]:
    """The state of each worker's spool, as `heli status` tells it."""
    import msgspec

    from heli.proxy.spool.survey import survey

    rows = [msgspec.to_builtins(row) for row in survey(home / "data" / "spool")]
    for row in rows:
        if row["dropped_records"] or row["dropped_bodies"]:
            raise BenchError(f"the spool was full and dropped records, so the figures do not count: {row}")
    return rows


def is_ready(backend: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{backend}/readyz", timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False


def count_stored(backend: int) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{backend}/v1/request/count/query",
        data=json.dumps({"filter": "all"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return int(json.load(reply)["data"])


if __name__ == "__main__":
    try:
        stay_off_the_proxies_core()
        load.build()
        print(json.dumps(measure(), indent=1))
    except BenchError as error:
        sys.exit(f"bench: {error}")
