"""`heli restart`: down, then up in the background, with the settings as they are now."""

from typing import Annotated

import typer

from heli.cli.down import stop
from heli.cli.options import ColorOption
from heli.cli.up import start_in_background
from heli.schema.settings import load_settings


def restart(
    now: Annotated[bool, typer.Option("--now", help="Do not wait for calls in flight.")] = False,
    color: ColorOption = None,
) -> int:
    """Stop heli and start it again in the background, with the settings as they are now.

    \b
    Example:
      heli config set ports.openai 18787 && heli restart
    """
    loaded = load_settings()
    stop(loaded, now)
    return start_in_background(loaded)
