"""A program that runs another and ends after it, as `heli run` does: `end.py started|running COMMAND…`."""

import os
import sys
import time

from heli.cli.run import Prepared, tell_end
from heli.cli.runs.launching import end_like, run_program
from heli.schema.run import Run
from heli.schema.settings import load_settings

if __name__ == "__main__":
    prepared = Prepared(
        loaded=load_settings(os.environ),
        run=Run(id="run-ends0001", pid=os.getpid(), started_ns=time.time_ns(), session_id="ends"),
        environ=dict(os.environ),
        hosts=(),
        was_started=sys.argv[1] == "started",
    )
    ended = run_program(sys.argv[2:], os.environ)
    print("ended", flush=True)
    tell_end(sys.argv[2:], prepared)
    sys.exit(end_like(ended))
