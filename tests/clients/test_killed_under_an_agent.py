"""An agent under `heli run` finishes whichever of heli's processes is killed meanwhile, and however often.

What was captured of it is whole, or marked as interrupted; what was not went past a gateway that was not
there.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heli.schema.exchange import Outcome
from tests.clients.running_heli import RunningHeli
from tests.clients.waiting import until
from tests.proxy.intercept.rig import get
from tests.rel.sizes import seeded, sized
from tests.standin import StandIn

KILLS = sized(2, 10)
AGENT = """
import itertools, pathlib, sys
import httpx, openai

paced = '{"chunks": 8, "interval_ms": 15}'
client = openai.OpenAI(default_headers={"x-standin": paced, "Helicone-Session-Id": sys.argv[2]})


def ask(turn):
    messages = [{"role": "user", "content": f"turn {turn}"}]
    if turn % 2:
        reply = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
        return reply.choices[0].message.content
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


for turn in itertools.count():
    if pathlib.Path(sys.argv[1]).exists():
        break
    for attempt in range(5):  # a stream that breaks off is asked for again, which the SDK leaves to the agent
        try:
            told = ask(turn)
            break
        except (openai.APIConnectionError, httpx.HTTPError):
            continue
    assert told == f"You said: turn {turn}", told
    print(turn, flush=True)
print("finished", turn)
"""
LAST = re.compile(r"You said: turn (\d+)")


def pid_of(heli: RunningHeli, process: str, *, not_in: list[int]) -> int:
    told = json.loads(heli.command("status", "--json").stdout)
    pid = next((each["pid"] for each in told["processes"] if each["name"] == process), None)
    return pid if pid and pid not in not_in else 0


def metric(heli: RunningHeli, name: str) -> int:
    found = re.search(rf"(?m)^heli_intercept_{name} ([0-9.]+)$", get(heli.ports["intercept"], "/metrics")[1])
    return int(float(found[1])) if found else 0


def is_ready(heli: RunningHeli) -> bool:
    try:
        return get(heli.ports["backend"], "/readyz")[0] == 200
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("process", ["intercept", "gateway", "backend", "store"])
def test_the_agent_finishes_and_its_calls_are_whole_or_marked(
    heli: RunningHeli, standin: StandIn, tmp_path: Path, process: str
) -> None:
    session, enough = f"killed-{process}", tmp_path / "enough"
    chance, killed = seeded(session), list[int]()
    past = -metric(heli, "sent_directly_total")
    command = [sys.executable, "-m", "heli", "run", "--", sys.executable, "-c", AGENT, str(enough), session]
    environ = heli.environ | {"OPENAI_API_KEY": "sk-secret", "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        agent.stdout.readline()
        for _ in range(KILLS):
            killed.append(until(lambda: pid_of(heli, process, not_in=killed)))
            time.sleep(chance.random() * 0.4)  # any moment of a turn
            if process == "intercept":
                past += metric(heli, "sent_directly_total")  # it counts from zero then
            os.kill(killed[-1], signal.SIGKILL)
        until(lambda: pid_of(heli, process, not_in=killed))
        enough.touch()
        told = agent.stdout.read()

    assert agent.returncode == 0
    turns = int(told.split()[-1])
    assert told.endswith(f"finished {turns}\n")
    _check_log(heli, session, turns, past + metric(heli, "sent_directly_total"))


def _check_log(heli: RunningHeli, session: str, turns: int, past_the_gateway: int) -> None:
    """Each turn is in the log, whole or marked as interrupted, but for those that went past the gateway."""

    def look() -> tuple[set[int], int]:
        whole, interrupted = set(), 0
        for row in heli.client.requests(f"session:{session}", limit=1000).requests:
            interrupted += row.outcome is Outcome.INTERRUPTED
            assert row.outcome in {Outcome.COMPLETE, Outcome.INTERRUPTED, Outcome.CLIENT_ABORTED}
            # The SDK hangs up at [DONE], which may be before the last chunk: aborted, and yet all there.
            if last := LAST.fullmatch(row.response_preview):
                whole.add(int(last[1]))
            else:
                half = f"half a reply is told as a whole one: {row.response_preview!r}"
                assert row.outcome is not Outcome.COMPLETE, half
        return whole, interrupted

    until(lambda: is_ready(heli))
    until(lambda: len(look()[0]) + look()[1] >= turns - past_the_gateway)
    whole, interrupted = look()
    print(f"{session}: {turns} turns, {len(whole)} whole, {interrupted} interrupted, {past_the_gateway} past")
    assert whole <= set(range(turns))
    missing = set(range(turns)) - whole
    assert len(missing) <= interrupted + past_the_gateway, sorted(missing)
    assert interrupted <= (KILLS if session == "killed-gateway" else 0)
