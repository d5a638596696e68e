"""Calls that the interceptor hands over: taken from nobody who does not know its secret."""

import hmac

import msgspec

from heli.providers.hosts import origin_of
from heli.proxy.gateway.heads import RequestHead
from heli.proxy.gateway.targets import Target, TargetRefusedError, Targets
from heli.proxy.handover import ORIGIN_HEADER, SECRET_HEADER

_ORIGIN = ORIGIN_HEADER.lower()
_SECRET = SECRET_HEADER.lower()
_PREFIX = b"heli-intercept-"


class Handover:
    """Tells handed-over calls from others."""

    def __init__(self, secret: str, targets: Targets) -> None:
        self._secret = secret.encode("ascii")
        self._targets = targets

    def target(self, head: RequestHead) -> Target | None:
        """The target of a call that the interceptor handed over; `None` for any other.

        Its two headers, which are the last ones, are not recorded: the program did not send them.
        """
        shown = head.heli.get(_SECRET)
        if not shown or not self._secret or not hmac.compare_digest(shown, self._secret):
            return None
        try:
            origin = origin_of(head.heli.get(_ORIGIN, b"").decode("ascii"))
        except ValueError as error:
            raise TargetRefusedError("invalid target: the interceptor names none") from error
        captured = head.captured
        while captured and captured[-1][0].lower().startswith(_PREFIX):
            captured.pop()
        return msgspec.structs.replace(self._targets.of(origin), is_intercepted=True)
