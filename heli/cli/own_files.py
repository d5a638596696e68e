"""Trouble with heli's own folders, told as what it is: something about the disk."""

import errno
import os
from pathlib import Path

from heli.schema.errors import DeniedError, HeliError
from heli.schema.paths import Paths

DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_FOLDER = (errno.EEXIST, errno.ENOTDIR)
HINTS = {
    errno.ENOSPC: "make room on that disk, or set HELI_HOME to a folder on another one",
    errno.EDQUOT: "make room in your quota, or set HELI_HOME to a folder on another disk",
}
MOVE = "set HELI_HOME to a folder that heli may write; `heli paths` tells what it keeps where"


def explain(error: OSError) -> HeliError | None:
    """What to tell of an error about one of heli's files; `None` when it is about another one."""
    if not isinstance(error.filename, str | os.PathLike) or not error.strerror:
        return None
    file, paths = Path(error.filename), Paths.from_environ(os.environ)
    if not any(_concerns(file, folder) for folder in (paths.config, paths.data, paths.state, paths.cache)):
        return None
    kind = DeniedError if error.errno in DENIED else HeliError
    reason = "a file is where a folder should be" if error.errno in NO_FOLDER else error.strerror.lower()
    return kind(f"{file} cannot be used: {reason}", HINTS.get(error.errno or 0, MOVE))


def _concerns(file: Path, folder: Path) -> bool:
    """The file is in the folder, or one of the folders that lead to it."""
    return file.is_relative_to(folder) or folder.is_relative_to(file)
