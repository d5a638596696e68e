"""What can go wrong and how it is told: one sentence, and the next thing to try."""

import enum


class ExitCode(enum.IntEnum):
    """What a command's exit says; documented in `heli help exit-codes`."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    CONFLICT = 5
    UNREACHABLE = 6
    CHECK_FAILED = 7
    TIMED_OUT = 124
    INTERRUPTED = 130


class HeliError(Exception):
    """The root of heli's own errors: `message` names the offending value, `hint` the next thing to try."""

    code = "failure"
    status = 500
    exit_code = ExitCode.FAILURE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def as_lines(self) -> str:
        """As it is told on standard error, also by processes, in whose logs the supervisor looks for it."""
        return f"heli: {self.message}\n" + (f"      {self.hint}\n" if self.hint else "")


class UsageError(HeliError):
    """The caller's words are off: an unknown field, a filter that does not parse, a bad setting."""

    code = "bad_input"
    status = 400
    exit_code = ExitCode.USAGE


class NotFoundError(HeliError):
    code = "not_found"
    status = 404
    exit_code = ExitCode.NOT_FOUND


class DeniedError(HeliError):
    code = "denied"
    status = 401
    exit_code = ExitCode.DENIED


class ConflictError(HeliError):
    """Somebody else holds it: a port, a folder, a name."""

    code = "conflict"
    status = 409
    exit_code = ExitCode.CONFLICT


class UnreachableError(HeliError):
    """A process or store of heli's does not answer; the same call may succeed later."""

    code = "unreachable"
    status = 503
    exit_code = ExitCode.UNREACHABLE
