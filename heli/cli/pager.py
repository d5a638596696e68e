"""Long text on a terminal goes through a pager: HELI_PAGER, PAGER, else `less -FRX`."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping

DEFAULT = "less -FRX"


def page(text: str, is_wanted: bool = True, environ: Mapping[str, str] = os.environ) -> None:
    """Show a text; in a pipe, without a pager, or when none is wanted, it is simply written."""
    command = _command(environ) if is_wanted and sys.stdout.isatty() else []
    if not command:
        sys.stdout.write(text)
        return
    with subprocess.Popen(command, stdin=subprocess.PIPE) as pager:  # noqa: S603 - the user's own choice
        assert pager.stdin is not None
        try:
            pager.stdin.write(text.encode())
            pager.stdin.close()
        except BrokenPipeError:
            pass  # It was left before the end.
        _wait(pager)


def _wait(pager: "subprocess.Popen[bytes]") -> None:
    """Ctrl-C belongs to the pager while it runs."""
    while True:
        try:
            pager.wait()
        except KeyboardInterrupt:
            continue
        return


def _command(environ: Mapping[str, str]) -> list[str]:
    chosen = environ.get("HELI_PAGER", environ.get("PAGER", DEFAULT))
    words = shlex.split(chosen)
    return words if words and words != ["cat"] and shutil.which(words[0]) else []
