"""A writer in a process of its own, to be killed: `python spool_process.py FOLDER FIRST COUNT`.

It tells on stdout each call that is on disk, and ends when all are.
"""

import sys
from pathlib import Path

from spool_helpers import a_whole, an_opened, spool_settings

from heli.proxy.spool.writer import Spool


def main(folder: str, first: str, count: str) -> None:
    spool = Spool.open(Path(folder), spool_settings(segment_bytes=4096))
    spool.append(an_opened(int(first) + 10_000))
    for number in range(int(first), int(first) + int(count)):
        spool.append(a_whole(number, response_body=b"x" * 600))
        if not spool.wait_until_synced(20):
            raise SystemExit(f"call {number} was not written")
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
    spool.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
