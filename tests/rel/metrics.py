"""The gateway's own counters, as Prometheus would read them."""

import http.client
import re

_LINE = re.compile(r"^heli_(?:gateway_)?([a-z_]+?)(?:_total)?\{([^}]*)\} ([0-9.e+-]+)$")


def read_metrics(port: int) -> dict[str, float]:
    """`{name: value}`; names without `heli_gateway_` and `_total`, with `:label` where there is one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        with connection.getresponse() as reply:
            text = reply.read().decode()
    finally:
        connection.close()
    if reply.status != 200:
        raise RuntimeError(f"/metrics answered {reply.status}: {text}")
    found = {}
    for line in text.splitlines():
        if match := _LINE.match(line):
            labels = dict(label.split("=", 1) for label in match[2].split(","))
            labels.pop("worker", None)
            name = ":".join([match[1], *(value.strip('"') for value in labels.values())])
            found[name] = float(match[3])
    return found
