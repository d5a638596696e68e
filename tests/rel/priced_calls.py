"""Many calls of one known cost, by several callers at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from tests.rel.raw_client import exchange, json_post

USAGE = {"prompt_tokens": 1_003, "completion_tokens": 17, "total_tokens": 1_020}
COST_OF_ONE = Decimal("0.00016065")
"""gpt-4o-mini: 1,003 x $0.15 + 17 x $0.60 for a million tokens."""


def make_calls(url: str, count: int, callers: int, prompt: str = "Hi") -> None:
    """Each lasts longer than the recorder's tick, so that it is written in two pieces at least."""
    messages = [{"role": "user", "content": prompt}]
    body = json.dumps({"model": "gpt-4o-mini", "messages": messages}).encode()
    scenario = json.dumps({"usage": USAGE, "delay_s": 0.05})
    request = json_post("/v1/chat/completions", body, ("x-standin", scenario))
    with ThreadPoolExecutor(callers) as pool:
        for answered in pool.map(lambda _: exchange(url, request), range(count)):
            assert answered.final.status == 200
