"""`heli config`: the settings, where each came from, and changing one."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from heli.cli.completed_values import setting_name
from heli.cli.options import ColorOption
from heli.cli.printable import line
from heli.cli.root import make_app
from heli.cli.setting_names import SECRET, find_setting, hidden, list_settings, shown
from heli.cli.sink import encode
from heli.cli.table import Cell, Column, Table
from heli.cli.terminal import say, wants_color, width
from heli.cli.toml_edit import remove_value, set_value
from heli.schema.errors import ExitCode, NotFoundError, UsageError
from heli.schema.paths import Paths, make_private
from heli.schema.settings import Loaded, Settings, load_settings, read_settings_file

NOWHERE = Path("/nowhere")

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Such as ports.openai.", autocompletion=setting_name)
]

app = make_app(invoke_without_command=True)


@app.callback()
def config(
    context: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Tell where each value came from.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as one JSON object.")] = False,
    color: ColorOption = None,
) -> None:
    """The settings with their values.

    \b
    Examples:
      heli config                          all settings
      heli config --origin                 and the file or variable that said so
      heli config get ports.openai
      heli config set ports.openai 18787   written to config.toml
      heli config unset ports.openai       taken out of it again

    Later ones win: defaults, config.toml (see `heli paths`), ./heli.toml, HELI_* variables, flags. The
    variable of ports.openai is HELI_PORTS__OPENAI.
    """
    if context.invoked_subcommand is not None:
        return
    loaded = load_settings()
    values = list_settings(loaded.settings)
    if as_json:
        tree = {name: hidden(name, value) for name, value in values.items()}
        sys.stdout.write(encode(tree).decode() + "\n")
        return
    _print(loaded, values, with_origin=origin)


@app.command("list")
def list_all(context: typer.Context) -> None:
    """All settings with their values and where they came from."""
    loaded = load_settings()
    _print(loaded, list_settings(loaded.settings), with_origin=True)


@app.command()
def get(
    name: NameArgument,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show a secret as it is.")] = False,
) -> None:
    """One value.

    \b
    Example:
      curl "http://127.0.0.1:$(heli config get ports.backend)/healthcheck"
    """
    value = find_setting(load_settings().settings, name)
    text = str(value) if reveal and not isinstance(value, bool | list) else shown(name, value)
    sys.stdout.write(text + "\n")


@app.command("set")
def set_one(
    name: NameArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Lists with commas; - reads it from stdin.")],
) -> int:
    """Write a value to config.toml; the rest of the file stays as it is.

    \b
    Examples:
      heli config set gateway.workers 4
      heli config set providers.openai.base_url http://localhost:9100
      pass ingest-token | heli config set backend.ingest_token -
    """
    if value == "-":
        value = sys.stdin.read().strip()
    elif name in SECRET:
        raise UsageError(f"{name} is a secret; secrets are not arguments", f"heli config set {name} - < FILE")
    paths = Paths.from_environ(os.environ)
    find_setting(Settings(), name)
    typed = _typed(name, value)
    _write(paths.config_file, set_value(_read(paths.config_file), name, typed))
    written = f"{name} = {shown(name, typed)} in {paths.config_file}"
    say(_what_wins(name, written) or f"{written}; `heli restart` makes a running heli take it")
    return ExitCode.OK


@app.command("unset")
def unset_one(
    name: NameArgument,
) -> int:
    """Take a value out of config.toml; the rest of the file stays as it is.

    \b
    Example:
      heli config unset ports.openai

    A name that is no setting, which heli refuses to start with, can be taken out so too.
    """
    file = Paths.from_environ(os.environ).config_file
    after = remove_value(_read(file), name)
    if after is None:
        find_setting(Settings(), name)
        raise NotFoundError(
            f"{name} is not set in {file}", "`heli config --origin` tells what is set, and where"
        )
    _write(file, after)
    taken = f"{name} is no longer in {file}"
    say(_what_wins(name, taken) or f"{taken}; `heli restart` makes a running heli take it")
    return ExitCode.OK


def _typed(name: str, value: str) -> Any:
    """The value in its type, checked as when it is read."""
    is_list = isinstance(find_setting(Settings(), name), list)
    given: Any = [word.strip() for word in value.split(",") if word.strip()] if is_list else value
    return find_setting(_checked(name, given).settings, name)


def _checked(name: str, given: Any) -> Loaded:
    """The settings with it; with nothing else where config.toml cannot be read, which this may mend."""
    home = {key: word for key, word in os.environ.items() if key == "HELI_HOME"}
    try:
        load_settings(environ=home, folder=NOWHERE)
    except UsageError:
        home = {"HELI_HOME": str(NOWHERE)}
    return load_settings(environ=home, folder=NOWHERE, flags={name: given})


def _read(file: Path) -> str:
    """Its text; empty when there is none. Raises `UsageError` when it is not TOML."""
    read_settings_file(file)
    return file.read_text() if file.exists() else ""


def _write(file: Path, text: str) -> None:
    """Replace the file at once, so that nobody reads half of it."""
    target = file.resolve()
    draft = make_private(target.parent) / f".{target.name}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(target)


def _what_wins(name: str, written: str) -> str:
    """What to tell when what was just written does not count; else nothing."""
    try:
        loaded = load_settings()
    except UsageError as error:
        return f"{written}, but the settings are not right yet: {error.message}"
    origin = loaded.origins.get(name, "")
    if not origin or origin == str(loaded.paths.config_file):
        return ""
    wins = f"{origin} says {shown(name, find_setting(loaded.settings, name))}, and wins"
    way = f"unset {origin}" if origin.startswith("HELI_") else f"take it out of {origin}"
    return f"{written}, but {wins}: {way}, or change it there"


class _Line(msgspec.Struct):
    name: str
    value: str
    origin: str


def _print(loaded: Loaded, values: dict[str, Any], with_origin: bool) -> None:
    lines = [
        _Line(name, shown(name, value), loaded.origins.get(name, "default")) for name, value in values.items()
    ]
    if not sys.stdout.isatty():
        rows = [[row.name, row.value, *([row.origin] if with_origin else [])] for row in lines]
        sys.stdout.writelines("\t".join(line(cell) for cell in row) + "\n" for row in rows)
        return
    columns = [
        Column[_Line]("setting", lambda row: Cell(row.name)),
        Column[_Line](
            "value",
            lambda row: Cell(line(row.value), "dim" if row.origin == "default" else "strong"),
            least=16,
        ),
    ]
    if with_origin:
        columns.append(Column("origin", lambda row: Cell(line(row.origin)), is_elastic=True))
    table = Table(columns, wants_color(sys.stdout))
    table.learn(lines)
    sys.stdout.write(table.head(width()) + "\n")
    sys.stdout.writelines(table.line(row, width()) + "\n" for row in lines)
