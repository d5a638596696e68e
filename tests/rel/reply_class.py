"""How a reply ended, as a strict client sees it: llhttp is the judge."""

import enum

import httptools

from tests.rel.raw_client import Answered


class ReplyClass(enum.StrEnum):
    WHOLE = "whole"
    BROKEN = "broken"
    """There was a head, and the body that it announced did not come as it should."""
    NO_HEAD = "no_head"
    """No reply, or nothing that is HTTP."""
    PENDING = "pending"
    """Still waiting when time was up."""


class _Listener:
    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.is_over = False
        """The reply is whole; what comes after it is not looked at."""
        self.has_head = False
        self.is_whole = False
        self.status = 0
        self.body = b""
        self.headers: dict[bytes, bytes] = {}

    def on_message_begin(self) -> None:
        if not self.is_over:
            self.has_head = self.is_whole = False
            self.body, self.headers = b"", {}

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_over:
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if not self.is_over:
            self.status = self.parser.get_status_code()
            self.has_head = True

    def on_body(self, data: bytes) -> None:
        if not self.is_over:
            self.body += data

    def on_message_complete(self) -> None:
        self.is_whole = True
        self.is_over = self.status >= 200


def classify(answered: Answered) -> tuple[ReplyClass, int, bytes]:
    """The class, the status (0 without a head) and the content of the body as far as it came."""
    listener = _Listener()
    try:
        listener.parser.feed_data(answered.data)
        is_valid = True
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        is_valid = listener.is_whole
    if not listener.has_head:
        has_time_out = answered.ending == "timeout" and is_valid
        return (ReplyClass.PENDING if has_time_out else ReplyClass.NO_HEAD), 0, b""
    status = listener.status
    if status < 200 and status != 101:  # an interim reply, and no other after it
        return (ReplyClass.PENDING if answered.ending == "timeout" else ReplyClass.NO_HEAD), 0, b""
    if listener.is_whole or status == 101:
        return ReplyClass.WHOLE, status, listener.body
    lasts_until_close = not {b"content-length", b"transfer-encoding"} & listener.headers.keys()
    if is_valid and lasts_until_close and answered.ending == "fin":
        return ReplyClass.WHOLE, status, listener.body
    if is_valid and answered.ending == "timeout":
        return ReplyClass.PENDING, status, listener.body
    return ReplyClass.BROKEN, status, listener.body
