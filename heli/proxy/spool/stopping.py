"""A request to stop that comes by signal, and waits that it ends."""

import os
import select
import signal
import threading
from types import FrameType


class Stop:
    """False until SIGTERM or SIGINT come, or `ask` is called."""

    def __init__(self) -> None:
        self._is_asked = False
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)

    def __bool__(self) -> bool:
        return self._is_asked

    def ask(self) -> None:
        if not self._is_asked:
            self._is_asked = True
            os.write(self._write_end, b"x")

    def wait(self, timeout_s: float) -> bool:
        """Rest until then, or until somebody asks to stop."""
        if not self._is_asked:
            select.select([self._read_end], [], [], timeout_s)
        return self._is_asked

    def on_signals(self, patience_s: float) -> None:
        """Let SIGTERM and SIGINT ask; what still blocks `patience_s` later is left where it is.

        A signal that comes just before the main thread begins to wait for the network does not wake it, and
        Python lets the handler run when that wait is over. So a thread of its own starts the clock.
        """

        def asked(_number: int, _frame: FrameType | None) -> None:
            self.ask()

        def start_clock() -> None:
            while os.read(told, 1)[0] not in (signal.SIGTERM, signal.SIGINT):
                continue
            signal.setitimer(signal.ITIMER_REAL, patience_s)

        def overdue(_number: int, _frame: FrameType | None) -> None:
            raise SystemExit(0)

        told, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        threading.Thread(target=start_clock, name="heli-stop", daemon=True).start()
        signal.signal(signal.SIGTERM, asked)
        signal.signal(signal.SIGINT, asked)
        signal.signal(signal.SIGALRM, overdue)
