"""Somebody else holds a port, a folder, or the place of the one heli."""

import socket
from collections.abc import Iterator

import pytest

from heli.schema.errors import ExitCode
from tests.bad_input.own_heli import OwnHeli
from tests.rel.heli_under_test import PORTS


@pytest.fixture
def foreign() -> Iterator[socket.socket]:
    """A program that is not heli: this one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize("port", PORTS)
def test_up_names_the_port_its_setting_and_who_holds_it(
    idle: OwnHeli, foreign: socket.socket, port: str
) -> None:
    number = foreign.getsockname()[1]
    told = idle.command("up", **{f"HELI_PORTS__{port.upper()}": str(number)})
    told.refuses(
        ExitCode.CONFLICT, str(number), f"ports.{port}", "python", f"set HELI_PORTS__{port.upper()}="
    )
    assert idle.status()["processes"][0]["state"] == "down"


@pytest.mark.parametrize(
    ("part", "port"),
    [("gateway", "openai"), ("gateway", "log_api"), ("backend", "backend"), ("store", "store")],
)
def test_a_process_alone_names_the_port(idle: OwnHeli, foreign: socket.socket, part: str, port: str) -> None:
    number = foreign.getsockname()[1]
    told = idle.command("serve", part, **{f"HELI_PORTS__{port.upper()}": str(number)})
    told.refuses(ExitCode.CONFLICT, str(number))


def test_another_heli_is_named_too(idle: OwnHeli, running: OwnHeli) -> None:
    taken = {f"HELI_PORTS__{name.upper()}": str(port) for name, port in running.ports.items()}
    told = idle.command("up", "-d", **taken)
    told.refuses(ExitCode.CONFLICT, str(running.ports["openai"]), "ports.openai")


def test_processes_that_run_alone_are_not_started_twice(running: OwnHeli) -> None:
    running.command("serve", "store").refuses(ExitCode.CONFLICT, "store", str(running.pid("store")))
    running.command("up").refuses(ExitCode.CONFLICT, "gateway", str(running.pid("gateway")))
    assert running.is_ready("gateway")
    assert running.is_ready("backend")


def test_a_port_that_something_else_answers_on_is_no_backend(idle: OwnHeli, running: OwnHeli) -> None:
    told = idle.command("logs", HELI_BACKEND__URL=f"http://127.0.0.1:{running.ports['store']}")
    told.refuses(told.code, str(running.ports["store"]), "heli")
    assert told.code in (ExitCode.NOT_FOUND, ExitCode.FAILURE, ExitCode.UNREACHABLE)
