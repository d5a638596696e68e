"""The entry point: the one place where errors become a sentence on stderr and an exit code."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from heli.schema.errors import ExitCode, HeliError

COMPLETION = "_HELI_COMPLETE"
"""Set by a shell that asks what could be typed next."""


def main() -> NoReturn:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Do what a command line says; every way to end is an exit code."""
    try:
        code = _run_command(arguments)
        if sys.stdout is not None:  # it is where the descriptor was closed before the start
            sys.stdout.flush()
    except HeliError as error:
        code = _tell(error.message, error.hint, error.exit_code)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        code = _leave_pipe()
    except SystemExit as end:
        # Typer turns a broken pipe into exit 1; who asked for `| head` has got what they wanted.
        code = _leave_pipe() if isinstance(end.__context__, BrokenPipeError) else _code_of(end)
    except OSError as error:
        code = _tell_disk(error, arguments)
    except Exception as error:  # noqa: BLE001 - the edge: whatever went wrong, one sentence
        code = _tell_unexpected(error, arguments)
    return code


def _run_command(arguments: Sequence[str]) -> int:
    from heli.cli import front_page

    page = front_page.answer(arguments)
    if page is not None and COMPLETION not in os.environ:
        sys.stdout.write(page)
        return ExitCode.OK
    if arguments[:1] == ["statusline"] and COMPLETION not in os.environ:
        # Drawn with each prompt: loading Typer would take longer than all else.
        from heli.cli import statusline

        if wishes := statusline.read_quickly(arguments[1:]):
            return statusline.answer(wishes)
    from heli.cli.root import invoke

    return invoke(arguments)


def _code_of(end: SystemExit) -> int:
    return end.code if isinstance(end.code, int) else ExitCode.FAILURE


def _leave_pipe() -> int:
    """Nobody reads us any more: end silently, also when Python flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return ExitCode.OK


def _tell(message: str, hint: str, code: ExitCode) -> ExitCode:
    from heli.cli.printable import block

    if _wants_traceback():
        import traceback

        traceback.print_exc()
    lines = [("heli: ", message), ("      ", hint)] if hint else [("heli: ", message)]
    for lead, text in lines:
        sys.stderr.write(_line(lead, block(text)))
    return code


def _line(lead: str, text: str) -> str:
    """Wrapped between words on a terminal; a text of several lines has a form of its own."""
    from heli.cli.printable import beside
    from heli.cli.terminal import width

    is_free = sys.stderr.isatty() and "\n" not in text
    return beside(lead, text, width()) if is_free else f"{lead}{text}\n"


def _tell_disk(error: OSError, arguments: Sequence[str]) -> ExitCode:
    from heli.cli.own_files import explain

    if told := explain(error):
        return _tell(told.message, told.hint, told.exit_code)
    return _tell_unexpected(error, arguments)


def _tell_unexpected(error: Exception, arguments: Sequence[str]) -> ExitCode:
    """A bug of ours, or a machine in trouble: the traceback goes to a file, a sentence to the person."""
    from heli.cli import crash_log

    try:
        place = f"details are in {crash_log.write(error, arguments)}"
    except OSError as trouble:
        place = f"no details could be written ({trouble})"
    return _tell(
        f"unexpected {type(error).__name__}: {error}",
        f"{place}; HELI_DEBUG=1 shows them here",
        ExitCode.FAILURE,
    )


def _wants_traceback() -> bool:
    from heli.cli.terminal import is_verbose

    return bool(os.environ.get("HELI_DEBUG")) or is_verbose(2)
