"""Where the traceback of an unexpected error goes, so that people are shown a sentence instead."""

import datetime
import os
import traceback
from collections.abc import Sequence
from pathlib import Path

from heli import __version__
from heli.schema.paths import Paths, make_private

MAX_BYTES = 256 * 1024


def write(error: Exception, arguments: Sequence[str]) -> Path:
    """Append the traceback to the log of commands and return its path."""
    file = make_private(Paths.from_environ(os.environ).logs) / "heli.log"
    if file.exists() and file.stat().st_size > MAX_BYTES:
        file.replace(file.with_suffix(".log.1"))
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    details = "".join(traceback.format_exception(error))
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a", errors="backslashreplace") as stream:
        stream.write(f"{now} heli {__version__} {list(arguments)}\n{details}\n")
    return file
