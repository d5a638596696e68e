"""`python -m heli.backend.store_server`: the store alone, with the settings of the environment."""

import sys

from heli.backend.store_server import run_store
from heli.schema.settings import load_settings

if __name__ == "__main__":
    sys.exit(run_store(load_settings()))
