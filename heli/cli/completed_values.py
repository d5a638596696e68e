"""What shells complete where a value stands. Each takes what was typed so far."""

from collections.abc import Callable

type Completer = Callable[[str], list[str]]

SPENT_BY = ("model", "provider", "user", "session", "agent", "property:", "hour", "day", "month")
MOMENTS = ("today", "yesterday", "1h", "24h", "7d", "30d")


def one_of(*words: str) -> Completer:
    """Completes one of these words."""

    def complete(typed: str) -> list[str]:
        return [word for word in words if word.startswith(typed)]

    return complete


def several_of(*words: str) -> Completer:
    """Completes the last of words with commas between them, each of which stands there once."""

    def complete(typed: str) -> list[str]:
        before, comma, last = typed.rpartition(",")
        chosen = before.split(",")
        return [f"{before}{comma}{word}" for word in words if word.startswith(last) and word not in chosen]

    return complete


def output_format(typed: str) -> list[str]:
    """What `-o` takes."""
    from heli.cli.sink import Format

    return one_of(*Format)(typed)


def setting_name(typed: str) -> list[str]:
    """Names of settings, and of the base URLs of all providers."""
    from heli.cli.setting_names import list_settings
    from heli.providers.hosts import HOSTS
    from heli.schema.settings import Settings

    providers = {f"providers.{host.key}.base_url" for host in HOSTS}
    return [name for name in [*list_settings(Settings()), *sorted(providers)] if name.startswith(typed)]


def help_topic(typed: str) -> list[str]:
    """Commands, and the pages that belong to none."""
    from heli.cli.commands import COMMANDS

    return one_of(*COMMANDS, "exit-codes", "filters")(typed)
