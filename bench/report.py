"""Turns measured figures into medians, ratios against goals, tables, and a part of README.md."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from processes import HERE, BenchError

BEGIN, END = "<!-- results: written by `bench/run.py --write-readme` -->", "<!-- end of results -->"


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def machine() -> dict:
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def summary(target: dict) -> dict:
    """The medians over the rounds of one target."""

    def middle(what: str, figure: str) -> float:
        return median([row[what][figure] for row in target["rounds"]])

    return {
        "per_second": middle("throughput", "per_second"),
        "p50_us": middle("throughput", "p50_us"),
        "p99_us": middle("throughput", "p99_us"),
        "cpu_us": middle("throughput", "cpu_us"),
        "one_p50_us": middle("one", "whole_p50"),
        "first_p50_us": middle("streams", "first_p50"),
        "first_p99_us": middle("streams", "first_p99"),
        "streams_per_second": middle("streams", "per_second"),
        "failed": sum(row[what]["failed"] for row in target["rounds"] for what in row),
    }


def in_turn(targets: dict, name: str, other: str, figure: Callable[[dict], float], how: str) -> float | None:
    """The median over the rounds of `name` against `other`, each pair from the same round."""
    if name not in targets or other not in targets:
        return None
    pairs = zip(targets[name]["rounds"], targets[other]["rounds"], strict=True)
    if how == "ratio":
        return median([figure(a) / figure(b) if figure(b) else float("inf") for a, b in pairs])
    return median([figure(a) - figure(b) for a, b in pairs])


def goals(figures: dict) -> list[tuple[str, float | None, str, float]]:
    """`(what, measured, at least or at most, goal)`."""
    targets, ingest = figures.get("targets", {}), figures.get("ingest", {})

    def rate(row: dict) -> float:
        return row["throughput"]["per_second"]

    def one_ms(row: dict) -> float:
        return row["one"]["whole_p50"] / 1000

    def first_ms(row: dict) -> float:
        return row["streams"]["first_p50"] / 1000

    def streams(row: dict) -> float:
        return row["streams"]["per_second"]

    heli = targets.get("heli", {})
    worker = worker_mb(heli)
    return [
        ("requests/s, heli to nginx", in_turn(targets, "heli", "nginx", rate, "ratio"), ">=", 0.4),
        ("requests/s, heli to Portkey", in_turn(targets, "heli", "portkey", rate, "ratio"), ">=", 25),
        ("requests/s, heli to LiteLLM", in_turn(targets, "heli", "litellm", rate, "ratio"), ">=", 150),
        (
            "added at the median, one connection, ms",
            in_turn(targets, "heli", "direct", one_ms, "less"),
            "<=",
            0.3,
        ),
        (
            "added to a stream's first byte, ms",
            in_turn(targets, "heli", "direct", first_ms, "less"),
            "<=",
            1.0,
        ),
        ("streams/s, heli to direct", in_turn(targets, "heli", "direct", streams, "ratio"), ">=", 0.7),
        ("memory of the worker, MB", worker, "<=", 60),
        ("cold start, s", heli.get("cold_start_s"), "<=", 1.0),
        ("exchanges/s stored, one core", ingest.get("drain", {}).get("per_second"), ">=", 1000),
    ]


def worker_mb(heli: dict) -> float | None:
    """The biggest of the gateway's workers; neither its parent nor the shipper."""
    rows = {line: mb for line, mb in heli.get("resident_mb", {}).items() if "worker" in line}
    return max(rows.values(), default=None)


def as_text(figures: dict) -> str:
    lines = []
    if targets := figures.get("targets"):
        lines += table(
            [
                "",
                "req/s",
                "p50 ms",
                "p99 ms",
                "CPU µs/req",
                "one p50 ms",
                "first p50 ms",
                "streams/s",
                "memory MB",
                "start s",
                "failed",
            ],
            [row_of(target) for target in targets.values()],
        )
        lines.append("")
    lines += table(["", "measured", "goal", ""], [goal_row(*goal) for goal in goals(figures)])
    if ingest := figures.get("ingest"):
        lines += ["", *ingest_lines(ingest)]
    for name, reason in figures.get("missing", {}).items():
        lines += ["", f"{name} was not measured: {reason}"]
    return "\n".join(lines)


def row_of(target: dict) -> list[str]:
    s = summary(target)
    memory = sum(target.get("resident_mb", {}).values())
    return [
        f"{target['name']} {target.get('version', '')}".strip(),
        f"{s['per_second']:,.0f}",
        f"{s['p50_us'] / 1000:.2f}",
        f"{s['p99_us'] / 1000:.2f}",
        f"{s['cpu_us']:,.0f}" if s["cpu_us"] else "-",
        f"{s['one_p50_us'] / 1000:.3f}",
        f"{s['first_p50_us'] / 1000:.2f}" if s["streams_per_second"] else "fails",
        f"{s['streams_per_second']:.1f}",
        f"{memory:,.0f}" if memory else "-",
        f"{target['cold_start_s']:.2f}" if "cold_start_s" in target else "-",
        f"{s['failed']}",
    ]


def goal_row(what: str, measured: float | None, how: str, goal: float) -> list[str]:
    if measured is None:
        return [what, "?", f"{how} {goal:g}", "not measured"]
    is_met = measured >= goal if how == ">=" else measured <= goal
    digits = 0 if measured >= 100 else 2
    return [what, f"{measured:,.{digits}f}", f"{how} {goal:g}", "met" if is_met else "NOT MET"]


def ingest_lines(ingest: dict) -> list[str]:
    drain, loaded, full = ingest["drain"], ingest["paced"], ingest["saturated"]
    rested = (
        f"A full spool: {drain['exchanges']:,} exchanges stored in {drain['seconds']:.1f} s, "
        f"{drain['per_second']:,.0f}/s; shipper, backend and store on one core. "
        f"Processor time for each: gateway and shipper {drain['cpu_us']['gateway']:,.0f} µs, "
        f"backend {drain['cpu_us']['backend']:,.0f} µs, store {drain['cpu_us']['store']:,.0f} µs."
    )
    calm = (
        f"All of heli on one core at {loaded['rate']} calls/s: median {loaded['p50_ms']:.2f} ms, "
        f"p99 {loaded['p99_ms']:.1f} ms, at most {loaded['most_waiting']:,} waiting, "
        f"all stored {loaded['drained_s']:.1f} s after the last call."
    )
    busy = (
        f"All of heli on one core, {full['connections']} connections always busy: "
        f"{full['calls_per_second']:,.0f} calls/s, {full['stored_per_second']:,.0f} exchanges/s stored "
        f"meanwhile, all stored {full['drained_s']:.1f} s after the last call."
    )
    return [f"- {line}" for line in (rested, calm, busy)]


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        padded = [
            cells[0].ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True)),
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join(("-" * (w + 1) + ":") if i else "-" * (w + 2) for i, w in enumerate(widths)) + "|"
    return [line(head), rule, *map(line, rows)]


def save(figures: dict, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}.json"
    file.write_text(json.dumps(figures, indent=1) + "\n")
    return file


def newest(folder: Path) -> Path:
    files = sorted(folder.glob("*.json"))
    if not files:
        raise BenchError(f"there are no results in {folder}: run `make bench` first")
    return files[-1]


def write_readme(file: Path) -> None:
    figures = json.loads(file.read_text())
    about, how = figures["machine"], figures["settings"]
    circumstances = (
        f"{about['date']}, {about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, "
        f"Python {about['python']}; {how['rounds']} rounds of {how['seconds']:g} s; "
        f"load average before: {about['load_average_before']}."
    )
    text = "\n".join([BEGIN, "", circumstances, "", as_text(figures), "", END])
    readme = HERE / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    readme.write_text(before + text + rest.partition(END)[2])
