"""The program itself: started with the terminal as it is, waited for, and signals passed on.

The program stays in heli's own process group. So the terminal's signals (Ctrl-C, Ctrl-Z, a new size) reach it
by themselves, as without heli, and heli merely must not die of them. What somebody sends to heli alone is
passed on. When the program stops, so does heli, so that the shell takes the terminal back.
"""

import contextlib
import errno
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

NOT_EXECUTABLE = 126
NOT_FOUND = 127
"""As shells have it."""
GRACE_S = 0.05
"""A signal that was sent to the whole process group has reached the program too; it may be ending of it."""
SI_KERNEL = 0x80
"""The code of a signal that the terminal, or a timer, has sent, in Linux's <asm-generic/siginfo.h>."""

ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
"""By which people and shells end a program."""
_FAULTS = ("ILL", "TRAP", "BUS", "FPE", "SEGV", "SYS", "EMT")
_ENDS_NOTHING = ("STOP", "TSTP", "TTIN", "TTOU", "CONT", "CHLD", "URG", "WINCH", "INFO")
DEADLY = frozenset(signal.valid_signals()) - {
    getattr(signal, f"SIG{name}", 0) for name in (*_FAULTS, *_ENDS_NOTHING, "KILL")
}
"""Each that ends who does not care, but for what cannot be held back and what a process does to itself."""
WATCHED = DEADLY | {signal.SIGCONT, signal.SIGTSTP, signal.SIGWINCH, signal.SIGCHLD}
_TERMINAL = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH, signal.SIGHUP})


class CannotStartError(Exception):
    """The program cannot be started; `code` is what a shell would end with."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Ended(NamedTuple):
    """How the program ended."""

    code: int
    """As a shell tells it: 128 and the signal's number for one that a signal has ended."""
    signal: int = 0
    was_interrupted: bool = False
    """By the terminal, which told heli of it as well."""


def find_program(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """The file to execute. Raises `CannotStartError`."""
    name, search = command[0], environ.get("PATH", os.defpath)
    found = name if os.sep in name else shutil.which(name, path=search)
    if found is None:
        for folder in search.split(os.pathsep):
            if Path(folder or ".", name).is_file():
                raise CannotStartError(f"{Path(folder, name)} may not be executed", NOT_EXECUTABLE)
        raise CannotStartError(f"there is no program {name!r} on the PATH", NOT_FOUND)
    if Path(found).is_dir():
        raise CannotStartError(f"{found} is a folder", NOT_EXECUTABLE)
    return found


def become(command: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Be the program from now on, and nothing of heli's any more. Raises `CannotStartError`."""
    file = find_program(command, environ)
    _flush()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(file, list(command), dict(environ))  # noqa: S606 - it is what we are asked for
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            os.execve("/bin/sh", ["sh", file, *command[1:]], dict(environ))  # noqa: S606
        raise _why_not(error, file) from error


def run_program(command: Sequence[str], environ: Mapping[str, str]) -> Ended:
    """Run the program to its end. Raises `CannotStartError`.

    From then on, signals that would end heli are held back: they were meant for the program, whose exit code
    they would take away. Of those by which people end a program, only such are held that come from then on;
    heli leaves what it is doing for them as soon as it sees one (`last_words`).
    """
    file = find_program(command, environ)
    _flush()
    signal.signal(
        signal.SIGCHLD, signal.SIG_DFL
    )  # Who ignores it, as our parent may, has no child to wait for.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    after = before
    try:
        child = _spawn(file, command, environ, before)
        ended = _Watch(child).until_end()
        after = before | DEADLY
        while pending := signal.sigpending() & ENDING:  # from before the end
            signal.sigwait(pending)
        return ended
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, after)


def _flush() -> None:
    """What heli has to say goes before the program's words. A stream that is closed keeps nobody back."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()


def _spawn(file: str, command: Sequence[str], environ: Mapping[str, str], mask: Iterable[int]) -> int:
    def spawn(file: str, words: list[str]) -> int:
        undone = [signal.SIGPIPE, signal.SIGXFSZ]  # which Python ignores
        return os.posix_spawn(file, words, dict(environ), setsigmask=mask, setsigdef=undone)

    try:
        return spawn(file, list(command))
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # A script without a first line: shells take it for one of theirs.
            return spawn("/bin/sh", ["sh", file, *command[1:]])
        raise _why_not(error, file) from error


def _why_not(error: OSError, file: str) -> CannotStartError:
    if error.errno == errno.ENOENT and not Path(file).exists():
        return CannotStartError(f"there is no program {file!r}", NOT_FOUND)
    if error.errno == errno.ENOENT:
        return CannotStartError(f"{file} names an interpreter that does not exist", NOT_EXECUTABLE)
    reason = (error.strerror or str(error)).lower()
    return CannotStartError(f"{file} cannot be started: {reason}", NOT_EXECUTABLE)


class _Watch:
    """Waits for one child, and passes signals on to it."""

    def __init__(self, child: int) -> None:
        self._child = child
        self._ended: int | None = None
        """Its wait status."""
        self._was_interrupted = False

    def until_end(self) -> Ended:
        while self._ended is None:
            number, is_terminals = _wait_for_signal()
            if number == signal.SIGCHLD:
                self._look()
            else:
                self._pass_on(number, is_terminals)
        code = os.waitstatus_to_exitcode(self._ended)
        return Ended(code if code >= 0 else 128 - code, max(0, -code), self._was_interrupted)

    def _look(self) -> None:
        """Take note of an end; stop with a program that has stopped, and be woken with it."""
        pid, status = os.waitpid(self._child, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return
        if os.WIFSTOPPED(status):
            _stop_like(os.WSTOPSIG(status))
            self._send(signal.SIGCONT)
        else:
            self._ended = status

    def _pass_on(self, number: int, is_terminals: bool) -> None:
        if number in ENDING and is_terminals:
            self._was_interrupted = self._was_interrupted or number == signal.SIGINT
        if is_terminals:
            return
        if number in ENDING:
            self._wait_a_moment()
        self._send(number)

    def _wait_a_moment(self) -> None:
        deadline = time.monotonic() + GRACE_S
        while self._ended is None and (left := deadline - time.monotonic()) > 0:
            self._look()
            if self._ended is None:
                time.sleep(min(left, 0.005))

    def _send(self, number: int) -> None:
        if self._ended is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._child, number)


def _wait_for_signal() -> tuple[int, bool]:
    """The next signal, and whether the terminal has sent it, to the whole process group."""
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(WATCHED)
        return info.si_signo, info.si_signo in _TERMINAL and info.si_code == SI_KERNEL
    number = signal.sigwait(WATCHED)
    return number, number in _TERMINAL and _is_in_foreground()


def _is_in_foreground() -> bool:
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            return os.tcgetpgrp(descriptor) == os.getpgrp()
    return False


def _stop_like(number: int) -> None:
    """Stop by the same signal, until somebody lets us go on."""
    if number in signal.sigpending():  # The terminal has sent it to us as well; once is enough.
        signal.sigwait({number})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.Signals(number)})
    os.kill(os.getpid(), number)
    if number in WATCHED:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.Signals(number)})


def end_like(ended: Ended) -> int:
    """The exit code; after Ctrl-C, the end itself, by which shells tell that a loop is to be left."""
    if ended.was_interrupted and ended.signal == signal.SIGINT:
        sys.stdout.flush()
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        os.kill(os.getpid(), signal.SIGINT)
    return ended.code
