"""`heli up` with tiny children: fake_up.py FOLDER SERVICES_JSON; tells its events as JSON lines."""

import asyncio
import sys
from pathlib import Path

import msgspec

from heli.cli.supervisor.events import Event
from heli.cli.supervisor.process_file import ProcessFile
from heli.cli.supervisor.services import Service
from heli.cli.supervisor.supervisor import Supervisor
from heli.schema.errors import HeliError


def report(event: Event) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    sys.stdout.buffer.flush()


async def supervise(services: list[Service], claim: ProcessFile, folder: Path) -> int:
    return await Supervisor(services, claim, folder / "logs", report).run()


def main() -> int:
    folder = Path(sys.argv[1])
    services = msgspec.json.decode(sys.argv[2], type=list[Service])
    try:
        with ProcessFile.claim(folder / "processes", "up", {}) as claim:
            return asyncio.run(supervise(services, claim, folder))
    except HeliError as error:
        print(f"heli: {error.message} / {error.hint}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
