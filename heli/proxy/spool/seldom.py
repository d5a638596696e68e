"""Warnings about what may go wrong again and again, told at most once a minute."""

import logging
import time

_EVERY_S = 60.0


class Seldom:
    """One kind of trouble."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told_at = -_EVERY_S

    def warn(self, message: str, *arguments: object) -> None:
        if time.monotonic() >= self._told_at + _EVERY_S:
            self._told_at = time.monotonic()
            self._log.warning(message, *arguments)

    def reset(self) -> None:
        """It is over; if it comes again it is told at once."""
        self._told_at = -_EVERY_S
