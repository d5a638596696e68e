"""`heli doctor`: look at everything on which capturing depends, and say what to do."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
import typer

from heli.cli.doctor.finding import Finding, State
from heli.cli.doctor.machine import look_at_machine
from heli.cli.doctor.runtimes import Tried, try_runtimes
from heli.cli.doctor.surroundings import look_at_environment
from heli.cli.options import ColorOption
from heli.cli.printable import beside, pad
from heli.cli.printable import line as one_line
from heli.cli.sink import encode
from heli.cli.terminal import UNBOUNDED, paint, say, text_width, wants_color
from heli.schema.errors import ExitCode
from heli.schema.settings import Loaded, load_settings

MARKS = {State.GOOD: ("ok", "good"), State.NOTE: ("--", "dim"), State.FINDING: ("!!", "warn")}
ABOUT_WIDTH = 13
ANSWERS = {True: "yes", False: "no", None: "?"}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `heli doctor --json` prints."""

    well: bool
    """Nothing was found that should be mended."""
    checks: list[Finding]
    runtimes: list[Tried]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
    color: ColorOption = None,
) -> int:
    """Look at everything on which capturing depends, and say what to do about what is wrong.

    \b
    Examples:
      heli doctor
      heli doctor --json | jq '.checks[] | select(.state == "finding")'

    Each runtime on this machine makes one real call over TLS through heli, to a host that heli answers
    itself: does it ask the proxy, does it accept heli's authority, does a stream come unbuffered? Exit
    code 7 when anything is found that should be mended.
    """
    loaded = load_settings()
    if not as_json and sys.stderr.isatty():
        say("looking; each runtime makes a call …")
    report = examine(loaded, os.environ)
    if as_json:
        sys.stdout.write(encode(report).decode() + "\n")
    else:
        sys.stdout.writelines(lines_of(report, wants_color(sys.stdout), text_width(sys.stdout)))
    return ExitCode.OK if report.well else ExitCode.CHECK_FAILED


def examine(loaded: Loaded, environ: Mapping[str, str]) -> Report:
    from heli.cli.runs.before import without_kit
    from heli.cli.runs.running_heli import answers, intercept_address
    from heli.providers.model_hosts import DECRYPTED_HOSTS
    from heli.proxy.intercept.authority import allowed_hosts

    hosts = (*DECRYPTED_HOSTS, *allowed_hosts(loaded.paths))
    ports = list(msgspec.structs.asdict(loaded.settings.ports).values())
    checks = list(look_at_machine(loaded))
    checks += look_at_environment(environ, hosts, ports, loaded.settings.ports.intercept)
    runtimes = []
    if answers(*intercept_address(loaded.settings)):
        runtimes = try_runtimes(_kit_for_probes(loaded, without_kit(environ)))
    is_well = all(check.state is not State.FINDING for check in checks)
    return Report(well=is_well and all(tried.is_good for tried in runtimes), checks=checks, runtimes=runtimes)


def _kit_for_probes(loaded: Loaded, environ: Mapping[str, str]) -> dict[str, str]:
    """What `heli run --java` would give a program, without a run of its own."""
    from heli.cli.run import make_own_kit
    from heli.cli.runs.making import make_run

    made = make_run(["heli", "doctor"], {}, loaded.paths.runs)
    _, kit = make_own_kit(loaded, made, environ, java=True)
    return {**environ, **kit}


def lines_of(report: Report, is_colored: bool, columns: int = UNBOUNDED) -> list[str]:
    """For people: the checks, then the runtimes, then what came out."""
    checks = [text for check in report.checks for text in _check_lines(check, is_colored, columns)]
    return [*checks, "\n", *_runtime_lines(report.runtimes, is_colored, columns), "\n", _verdict(report)]


def _check_lines(check: Finding, is_colored: bool, columns: int) -> list[str]:
    mark, style = MARKS[check.state]
    margin = 4 + ABOUT_WIDTH
    told = beside(" " * margin, one_line(check.message), columns)[margin:]
    first = f"{paint(mark, style, is_colored)}  {pad(check.about, ABOUT_WIDTH)}{told}"
    return [first, beside(" " * margin, one_line(check.fix), columns)] if check.fix else [first]


def _runtime_lines(runtimes: Sequence[Tried], is_colored: bool, columns: int) -> list[str]:
    if not runtimes:
        return ["no runtime was tried, as the interceptor does not answer\n"]
    width = max(len(_name(tried)) for tried in runtimes) + 2
    lines = [paint(f"    {pad('runtime', width)}proxy  trusted  streams", "dim", is_colored) + "\n"]
    for tried in runtimes:
        mark, style = MARKS[State.GOOD if tried.is_good else State.FINDING]
        cells = [ANSWERS[tried.uses_proxy], ANSWERS[tried.accepts_authority], ANSWERS[tried.streams]]
        row = f"{pad(cells[0], 7)}{pad(cells[1], 9)}{cells[2]}"
        lines.append(f"{paint(mark, style, is_colored)}  {pad(_name(tried), width)}{row}\n")
        told = [tried.trouble, tried.fix]
        lines += [beside(" " * 6, one_line(text), columns) for text in told if text]
    return lines


def _name(tried: Tried) -> str:
    return f"{tried.runtime} {tried.library}".strip()


def _verdict(report: Report) -> str:
    found = sum(check.state is State.FINDING for check in report.checks)
    found += sum(not tried.is_good for tried in report.runtimes)
    if not found:
        return "all is well\n"
    return f"{found} thing{'s' if found != 1 else ''} to mend\n"
