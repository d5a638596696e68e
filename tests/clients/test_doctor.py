"""`heli doctor` on a whole heli: each runtime's call is real."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.clients.npm_packages import SDKS, install, node_of
from tests.clients.running_heli import RunningHeli


def doctor(heli: RunningHeli, **variables: str) -> "tuple[int, dict[str, object]]":
    done = subprocess.run(
        [sys.executable, "-m", "heli", "doctor", "--json"],
        env={**heli.environ, **variables}, cwd=heli.home,
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def runtimes(report: dict[str, object], begins: str) -> dict[str, dict[str, object]]:
    return {
        each["library"]: each
        for each in report["runtimes"]  # type: ignore[attr-defined]
        if each["runtime"].startswith(begins)
    }


def test_every_runtime_calls_through_heli(heli: RunningHeli) -> None:
    _, report = doctor(heli)
    pythons = [each for each in report["runtimes"] if each["place"] == sys.executable]  # type: ignore[attr-defined]
    assert {each["library"] for each in pythons} == {"urllib", "requests", "httpx", "aiohttp"}
    wanted = [*pythons]
    if shutil.which("curl"):
        wanted += runtimes(report, "curl").values()
    if shutil.which("javac"):
        wanted += runtimes(report, "java").values()
    for each in wanted:
        assert (each["uses_proxy"], each["accepts_authority"], each["streams"]) == (True, True, True), each


def test_a_new_node_calls_through_heli(heli: RunningHeli) -> None:
    node = node_of(install(SDKS))
    _, report = doctor(heli, PATH=f"{os.path.dirname(node)}:{heli.environ['PATH']}")  # noqa: PTH120
    found = runtimes(report, "node v24")
    assert set(found) == {"fetch", "https"}
    for each in found.values():
        assert (each["uses_proxy"], each["accepts_authority"], each["streams"]) == (True, True, True), each


def test_a_machine_in_order_needs_nothing(heli: RunningHeli, tmp_path: object) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl")
    code, report = doctor(heli, PATH="/nowhere")
    findings = [each for each in report["checks"] if each["state"] == "finding"]  # type: ignore[attr-defined]
    assert findings == []
    assert (code, report["well"]) == (0, True), report


def test_a_finding_ends_with_its_exit_code(heli: RunningHeli) -> None:
    code, report = doctor(heli, PATH="/nowhere", NODE_TLS_REJECT_UNAUTHORIZED="0")
    assert (code, report["well"]) == (7, False)


def test_what_the_doctor_asks_is_no_call_to_a_model(heli: RunningHeli) -> None:
    doctor(heli, PATH="/nowhere")
    assert heli.client.requests("path:*stream*").requests == []
