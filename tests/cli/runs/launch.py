"""A program of its own that launches another, as `heli run` does once everything is prepared."""

import os
import sys

from heli.cli.runs.launching import CannotStartError, end_like, run_program

if __name__ == "__main__":
    try:
        ended = run_program(sys.argv[1:], os.environ)
    except CannotStartError as error:
        print(error.message, file=sys.stderr)
        sys.exit(error.code)
    print("launched program has ended", file=sys.stderr, flush=True)
    sys.exit(end_like(ended))
