"""The benchmark: every proxy up at once, measured in turns, medians. README.md explains the method."""

import argparse
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import ingest
import load
import report
from processes import (
    BUILD,
    CALLER_CORE,
    HERE,
    PROXY_CORE,
    BenchError,
    answers,
    command_line,
    cpu_s,
    family,
    free_port,
    resident_mb,
    started,
    stay_off_the_proxies_core,
    wait_for_answer,
    wait_until,
    warm_memory,
)
from targets import TARGETS, Target

RESULTS = HERE / "results"


def main() -> int:
    asked = parse_arguments()
    if asked.write_readme:
        report.write_readme(asked.results or report.newest(RESULTS))
        return 0
    try:
        stay_off_the_proxies_core()
        load.build()
        figures = {"machine": report.machine(), "settings": settings(asked)}
        if "ingest" not in asked.skip:
            figures["ingest"] = ingest.measure()
        if "proxies" not in asked.skip:
            figures |= measure_proxies(asked)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    file = report.save(figures, RESULTS)
    print(report.as_text(figures))
    print(f"written to {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement (default: 6)")
    parser.add_argument("--targets", nargs="*", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--skip", nargs="*", choices=["ingest", "proxies"], default=[])
    parser.add_argument(
        "--write-readme", action="store_true", help="put results into README.md; measure nothing"
    )
    parser.add_argument("--results", type=Path, help="with --write-readme: the file (default: the newest)")
    return parser.parse_args()


def settings(asked: argparse.Namespace) -> dict:
    return {
        "rounds": asked.rounds,
        "seconds": asked.seconds,
        "connections": load.CONNECTIONS,
        "request_bytes": load.REQUEST_BYTES,
        "streams": load.STREAMS,
        "stream_events": load.STREAM_EVENTS,
        "stream_interval_ms": load.STREAM_INTERVAL_MS,
    }


def measure_proxies(asked: argparse.Namespace) -> dict:
    """`targets: {name: {version, cold_start_s, resident_mb, rounds: […]}}` and `missing: {name: reason}`."""
    for home in ("heli", "heli-plain"):
        shutil.rmtree(BUILD / home, ignore_errors=True)
    warm_memory()
    upstream = free_port()
    measured: dict[str, dict] = {}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        standin = [BUILD / "standin", upstream, load.STREAM_EVENTS, load.STREAM_INTERVAL_MS]
        stack.enter_context(started(standin, core=CALLER_CORE, log=BUILD / "standin.log"))
        wait_until(lambda: answers(upstream), "an answer of the stand-in provider")
        running = {
            "direct": (Target(name="direct", version="", port=upstream, stream_port=upstream, command=[]), 0)
        }
        measured["direct"] = {"name": "direct", "rounds": []}
        for key in asked.targets:
            try:
                target = TARGETS[key](upstream, free_port)
            except BenchError as error:
                missing[key] = str(error)
                print(f"{key} is left out: {error}", file=sys.stderr)
                continue
            cold_start_s = median_cold_start(target) if key.startswith("heli") else None
            log = BUILD / f"{key}.log"
            process = stack.enter_context(started(target.command, core=PROXY_CORE, log=log, env=target.env))
            start_s = wait_for_answer(process, target.port, target.ready_path, log)
            running[key] = (target, process.pid)
            measured[key] = {"name": target.name, "version": target.version, "rounds": []}
            measured[key]["cold_start_s"] = cold_start_s or start_s
        for number in range(asked.rounds):
            for key, (target, pid) in running.items():
                print(f"round {number + 1} of {asked.rounds}: {target.name}", file=sys.stderr)
                measured[key]["rounds"].append(measure_once(target, pid, asked.seconds))
        for key, (_, pid) in running.items():
            if pid:
                measured[key]["resident_mb"] = resident(pid)
        if "heli" in running:
            measured["heli"]["capture"] = ingest.survey_spool(BUILD / "heli")
    return {"targets": measured, "missing": missing}


def measure_once(target: Target, pid: int, seconds: float) -> dict:
    load.throughput(target.port, target.headers, 2)
    members = family(pid) if pid else []
    before = cpu_s(members)
    throughput = load.throughput(target.port, target.headers, seconds)
    throughput["cpu_us"] = (cpu_s(members) - before) / max(throughput["completed"], 1) * 1e6
    figures = {
        "throughput": throughput,
        "one": load.calls(target.port, target.headers, seconds / 2),
        "streams": load.calls(
            target.stream_port, target.headers, seconds, connections=load.STREAMS, is_stream=True
        ),
    }
    for what, row in figures.items():
        if not row["completed"] or row["failed"] > row["completed"] / 1000:
            print(
                f"  {target.name}, {what}: {row['failed']} of {row['completed']} calls failed",
                file=sys.stderr,
            )
    return figures


def median_cold_start(target: Target, times: int = 5) -> float:
    """Seconds from the start of the command to the first answer, on a core that does nothing else."""
    took = []
    log = BUILD / "cold-start.log"
    for _ in range(times):
        with started(target.command, core=PROXY_CORE, log=log, env=target.env) as process:
            took.append(wait_for_answer(process, target.port, target.ready_path, log))
    return report.median(took)


def resident(pid: int) -> dict[str, float]:
    """`{command line: MB}` of each process of a target, after the load."""
    return {f"{member} {command_line(member)[:120]}": round(resident_mb(member), 1) for member in family(pid)}


if __name__ == "__main__":
    sys.exit(main())
