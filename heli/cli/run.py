"""`heli run`: a program whose calls to models heli sees, with nothing changed in it."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
import typer

from heli.cli.root import CONTEXT, make_app
from heli.cli.runs import launching
from heli.cli.runs.before import without_kit
from heli.cli.runs.last_words import CalledOffError, heed_signals, tell
from heli.cli.runs.launching import CannotStartError
from heli.cli.terminal import say
from heli.schema.errors import HeliError, UnreachableError, UsageError
from heli.schema.run import Run
from heli.schema.settings import Loaded

JUST_STARTED_S = 6.0
"""A heli that was started for this run answers a little later than it captures."""

app = make_app()


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """The options."""

    session: str = ""
    user: str = ""
    properties: dict[str, str] = {}
    java: bool = False
    fail_open: bool = True


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A program ready to be captured."""

    loaded: Loaded
    run: Run
    environ: dict[str, str]
    """The program's."""
    hosts: tuple[str, ...]
    was_started: bool
    """heli runs because of this run."""


@app.command(context_settings={**CONTEXT, "allow_interspersed_args": False})
def run(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="The program and its arguments.")
    ] = None,
    session: Annotated[
        str,
        typer.Option(metavar="NAME", help="Put the calls into this session; a new one each time by default."),
    ] = "",
    property: Annotated[  # noqa: A002 - the option's name
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Tag the calls; may be given several times."),
    ] = None,
    user: Annotated[str, typer.Option(metavar="NAME", help="Whose calls they are; by default yours.")] = "",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing at the end: heli becomes the program.")
    ] = False,
    fail_open: Annotated[
        bool,
        typer.Option(
            "--fail-open/--no-fail-open",
            help="When heli cannot capture: run the program all the same, or end with exit code 6.",
        ),
    ] = True,
    java: Annotated[
        bool, typer.Option("--java", help="Set JAVA_TOOL_OPTIONS too; each JVM prints a line about it.")
    ] = False,
) -> int:
    """Run a program and see every call to a model that it, and what it starts, makes.

    \b
    Examples:
      heli run -- claude
      heli run -- python app.py
      heli run --session fix-login --property ticket=4711 -- codex exec 'mend it'
      heli run --quiet -- curl https://api.openai.com/v1/models

    heli is started if it does not run. Terminal, signals and exit code are the program's own; at the
    end one line on standard error tells what it came to. Exit codes 126 and 127 as in a shell.
    """
    if not command:
        raise UsageError("there is nothing to run", "say what after two dashes: heli run -- claude")
    from heli.cli.runs.making import read_properties

    wishes = Wishes(
        session=session,
        user=user,
        properties=read_properties(property or ()),
        java=java,
        fail_open=fail_open,
    )
    try:
        return _run(command, wishes, quiet)
    except CannotStartError as error:
        say(f"heli: {error.message}")
        return error.code


def _run(command: Sequence[str], wishes: Wishes, quiet: bool) -> int:
    launching.find_program(command, os.environ)
    prepared = _prepare_or_tell(command, wishes)
    if prepared is None:
        launching.become(command, without_kit(os.environ))
    if quiet:
        launching.become(command, prepared.environ)
    ended = launching.run_program(command, prepared.environ)
    tell_end(command, prepared)
    return launching.end_like(ended)


def _prepare_or_tell(command: Sequence[str], wishes: Wishes) -> Prepared | None:
    """`None`, and a sentence why, when the program has to do without heli."""
    try:
        return prepare(command, wishes, os.environ)
    except HeliError as error:
        _tell_or_fail(error, wishes)
    except Exception as error:  # noqa: BLE001 - nothing of heli's own may keep the program from running
        _tell_or_fail(HeliError(f"unexpected {type(error).__name__}: {error}"), wishes)
    return None


def _tell_or_fail(error: HeliError, wishes: Wishes) -> None:
    if not wishes.fail_open:
        raise UnreachableError(f"this program cannot be captured: {error.message}", error.hint) from error
    with contextlib.suppress(OSError, ValueError):  # nobody reads it: no reason not to run the program
        say(f"heli: {error.message}")
        if error.hint:
            say(f"      {error.hint}")
        say("      the program runs without heli; its calls are not seen")


def prepare(command: Sequence[str], wishes: Wishes, environ: Mapping[str, str]) -> Prepared:
    """Have heli run, write the run down and make the program's environment. Raises `HeliError`, `OSError`."""
    from heli.cli.runs.making import forget_old_runs, make_run
    from heli.cli.runs.running_heli import ensure_running
    from heli.schema.run import write_run
    from heli.schema.settings import load_settings

    started: list[str] = []

    def tell_start(text: str) -> None:
        started.append(text)
        say(text)

    loaded = load_settings(environ)
    ensure_running(loaded, tell_start)
    made = make_run(
        command,
        environ,
        loaded.paths.runs,
        session=wishes.session,
        user=wishes.user,
        properties=wishes.properties,
    )
    original = without_kit(environ)
    hosts, kit = make_own_kit(loaded, made, original, wishes.java)
    write_run(loaded.paths.runs, made)
    forget_old_runs(loaded.paths.runs)
    return Prepared(
        loaded=loaded, run=made, environ={**original, **kit}, hosts=hosts, was_started=bool(started)
    )


def make_own_kit(
    loaded: Loaded, made: Run, environ: Mapping[str, str], java: bool
) -> tuple[tuple[str, ...], dict[str, str]]:
    """`(hosts that are decrypted, variables to set over environ, which is without another kit)`."""
    from heli.cli.runs.java_store import make_java_store
    from heli.cli.runs.kit import Capture, make_kit
    from heli.cli.runs.running_heli import intercept_address
    from heli.providers.model_hosts import DECRYPTED_HOSTS
    from heli.proxy.intercept.authority import allowed_hosts, certificate_file
    from heli.proxy.intercept.bundle import make_bundle

    bundle = make_bundle(loaded.paths, environ)
    host, port = intercept_address(loaded.settings)
    hosts = (*DECRYPTED_HOSTS, *allowed_hosts(loaded.paths))
    capture = Capture(
        proxy_host=host,
        proxy_port=port,
        run_id=made.id,
        session_id=made.session_id,
        bundle=bundle,
        authority=certificate_file(loaded.paths),
        hosts=hosts,
        java=make_java_store(bundle) if java else None,
    )
    return hosts, make_kit(environ, capture)


def tell_end(command: Sequence[str], prepared: Prepared) -> None:
    """The closing line. Nothing that goes wrong here may change how the program has ended.

    A signal by which people end a program calls it off, within the second that a request or Node may take.
    """
    try:
        for text in closing_lines(command, prepared):
            tell(text)
    except CalledOffError:
        return
    except Exception as error:  # noqa: BLE001 - the program has ended well; so do we
        with contextlib.suppress(CalledOffError, OSError, ValueError):
            tell(f"heli: what this run came to is not known: {type(error).__name__}: {error}")


def closing_lines(command: Sequence[str], prepared: Prepared) -> list[str]:
    """What is said at the end; why nothing was seen, where that is known. Raises `CalledOffError`."""
    from heli.cli.runs.closing import PATIENCE_S, line_of, settle
    from heli.cli.runs.traps import explain_silence

    loaded = prepared.loaded
    patience_s = JUST_STARTED_S if prepared.was_started else PATIENCE_S
    told = settle(loaded, prepared.run, lambda age_s: _is_stored(loaded, age_s), patience_s)
    lines = [line_of(told, prepared.run)]
    if not told.calls and not told.trouble:
        heed_signals()
        ports = list(msgspec.structs.asdict(loaded.settings.ports).values())
        reasons = explain_silence(command, prepared.environ, prepared.hosts, ports)
        lines += [f"      {reason}" for reason in reasons]
    return lines


def _is_stored(loaded: Loaded, age_s: float) -> bool | None:
    """Whether all calls that ended longer ago than this are in the log."""
    from heli.cli.status import read_spool

    workers = read_spool(loaded)
    if not workers or any(worker.trouble for worker in workers):
        return None
    return all(worker.oldest_s is None or worker.oldest_s < age_s for worker in workers)
