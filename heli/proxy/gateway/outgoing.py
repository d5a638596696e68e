"""A caller's request head as the provider will see it, and what it tells of the caller.

Programs send the same head again and again on a connection, but for the length of the body. So what was
made of a head is kept for the next one, which costs a comparison instead of a reading. It holds the
caller's keys, and so lasts no longer than the caller's connection.
"""

from collections.abc import Callable

from heli.proxy.gateway import faults
from heli.proxy.gateway.heads import RequestHead
from heli.proxy.gateway.identity import take_key
from heli.proxy.gateway.masking import mask_url
from heli.proxy.gateway.targets import Target
from heli.schema.exchange import Headers

_MOST_DIGITS = 15


class Outgoing:
    """What is sent on for one request head. Not changed once it is made."""

    __slots__ = (
        "_after",
        "_before",
        "_block_after",
        "_block_before",
        "digits",
        "head",
        "is_upgrade",
        "key_digest",
        "method",
        "path",
        "pool_key",
        "target",
    )

    def __init__(
        self, head: RequestHead, target: Target, block: bytes, own_fault: Callable[[str], None]
    ) -> None:
        self.key_digest: bytes | None = None
        """Of heli's own key, which is taken out and goes no further."""
        if not target.is_backend:
            try:
                faults.strike("key")
                self.key_digest = take_key(head)
            except Exception:
                own_fault("key")
        self.head = head
        self.target = target
        self.pool_key = target.pool_key
        self.method = head.method.decode("ascii")
        self.path = mask_url(head.target).decode("latin-1")
        self.is_upgrade = b"websocket" in head.upgrade and b"upgrade" in head.connection
        """Only WebSocket: other upgrades concern the caller's own hop."""
        self.digits = head.length_digits
        """Of the length of the request that this was made for."""
        self._before, self._after = _around(self._forward(), head)
        self._block_before, self._block_after = _around(block, head)

    def _forward(self) -> bytes:
        head = self.head
        lines = head.lines
        # The backend must see which name the caller used, since it refuses foreign ones.
        host = head.host if self.target.is_backend and head.host else self.target.host_header
        lines[head.host_line] = (lines[head.host_line] or b"Host") + b": " + host
        first = b" ".join((head.method, head.target, head.version))
        upgrade = [b"Connection: Upgrade", b"Upgrade: " + head.upgrade] if self.is_upgrade else []
        return b"\r\n".join([first, *lines, *upgrade, b"", b""])

    def again(self, block: bytes) -> bytes | None:
        """The digits of the length in another head that is the same otherwise; `None` when it is not.

        Empty when there is no length in either.
        """
        before, after = self._block_before, self._block_after
        if not after:
            return b"" if block == before else None
        if not (block.startswith(before) and block.endswith(after)):
            return None
        digits = block[len(before) : -len(after)]
        return digits if digits.isdigit() and len(digits) <= _MOST_DIGITS else None

    def forwarded(self, digits: bytes) -> bytes:
        """The head as it is sent, with this length."""
        return self._before + digits + self._after if digits else self._before

    def captured(self, digits: bytes) -> Headers:
        """The headers as they are recorded, with this length."""
        captured = self.head.captured
        if digits != self.digits:
            captured = captured.copy()
            captured[self.head.length_index] = (captured[self.head.length_index][0], digits)
        return captured


def _around(block: bytes, head: RequestHead) -> tuple[bytes, bytes]:
    """What stands before and behind the digits of the length; all and nothing when there is none."""
    line = head.length_line
    if not line:
        return block, b""
    start = block.index(b"\r\n" + line + b"\r\n") + 2
    end = start + len(line.rstrip(b" \t"))
    return block[: end - len(head.length_digits)], block[end:]
