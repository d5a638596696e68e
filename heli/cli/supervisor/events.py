"""What the supervisor tells while it works: to the screen, or through a pipe to the command that waits."""

import msgspec

from heli.schema.errors import ExitCode, HeliError


class Started(msgspec.Struct, frozen=True, tag=True):
    name: str
    pid: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    name: str
    seconds: float


class Died(msgspec.Struct, frozen=True, tag=True):
    name: str
    reason: str
    """`exit code 1` or `signal 9`."""
    retry_s: float
    log: str
    message: str = ""
    """Why, in the process's own words; empty when it has said none."""
    hint: str = ""


class Stuck(msgspec.Struct, frozen=True, tag=True):
    """A process has ended again and again without being ready once. The others run, and it is tried on."""

    name: str
    message: str
    hint: str


class AllReady(msgspec.Struct, frozen=True, tag=True):
    seconds: float


class Draining(msgspec.Struct, frozen=True, tag=True):
    name: str


class Killed(msgspec.Struct, frozen=True, tag=True):
    """It did not end by itself."""

    name: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """heli cannot run like this, and nothing of it runs any more."""

    message: str
    hint: str
    exit_code: int

    def as_error(self) -> HeliError:
        error = HeliError(self.message, self.hint)
        error.exit_code = ExitCode(self.exit_code)
        return error


type Event = Started | Ready | Died | Stuck | AllReady | Draining | Killed | Failed
