"""Sets, or takes out, one value in a TOML file and leaves everything else, comments included, as it is."""

import json
import re
import tomllib
from typing import Any

from heli.schema.errors import UsageError

_TABLE = re.compile(r"^\s*\[([^\[\]]+)\]\s*(#.*)?$")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def set_value(text: str, name: str, value: Any) -> str:
    """The file's text with the value of a dotted name set.

    Raises `UsageError` when it is written in a way that this cannot change without risk.
    """
    expected = tomllib.loads(text)
    _put(expected, name.split("."), value)
    table, _, key = name.rpartition(".")
    lines = _lines(text)
    new = f"{_key(key)} = {write_value(value)}"
    begin, end = _find_table(lines, table)
    if begin is None:
        lines += ["", *_header(table), new] if lines else [*_header(table), new]
    elif (place := _find_key(lines, begin, end, key)) is not None:
        lines[place] = new + _comment_of(lines[place])
    else:
        lines.insert(_last_filled(lines, begin, end), new)
    return _joined(lines, name, expected)


def remove_value(text: str, name: str) -> str | None:
    """The text without the value of a dotted name; `None` when it has none. Raises `UsageError`, too."""
    expected = tomllib.loads(text)
    emptied = _take_out(expected, name.split("."))
    if emptied is None:
        return None
    table, _, key = name.rpartition(".")
    lines = _lines(text)
    begin, end = _find_table(lines, table)
    if begin is not None and (place := _find_key(lines, begin, end, key)) is not None:
        del lines[place]
    for empty in emptied:
        begin, _ = _find_table(lines, empty)
        if begin is not None:
            del lines[begin - 1]
    return _joined(lines, name, expected)


def write_value(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(write_value(one) for one in value)}]"
    return json.dumps(str(value), ensure_ascii=False)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _header(table: str) -> list[str]:
    return [f"[{'.'.join(_key(key) for key in table.split('.'))}]"] if table else []


def _find_table(lines: list[str], table: str) -> tuple[int | None, int]:
    """The lines below the header of a table, up to the next one."""
    begin: int | None = 0 if not table else None
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("["):
            continue
        if begin is not None:
            return begin, number
        header = _TABLE.match(line)
        if header and [key.strip().strip("\"'") for key in header[1].split(".")] == table.split("."):
            begin = number + 1
    return begin, len(lines)


def _find_key(lines: list[str], begin: int, end: int, key: str) -> int | None:
    spelled = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
    return next((number for number in range(begin, end) if spelled.match(lines[number])), None)


def _comment_of(line: str) -> str:
    """The comment at the end of a line, where the value before it holds no `#`."""
    before, mark, comment = line.partition("#")
    return f"  #{comment}" if mark and before.count('"') % 2 == 0 and before.count("'") % 2 == 0 else ""


def _last_filled(lines: list[str], begin: int, end: int) -> int:
    while end > begin and not lines[end - 1].strip():
        end -= 1
    return end


def _joined(lines: list[str], name: str, expected: dict[str, Any]) -> str:
    changed = "".join(f"{line}\n" for line in lines)
    if not _says(changed, expected):
        raise UsageError(
            f"{name} is written in a way that cannot be changed safely", "change it in an editor"
        )
    return changed


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _take_out(tree: Any, keys: list[str]) -> list[str] | None:
    """The dotted names of the tables that are empty without it, and gone; `None` when it was not there."""
    if not isinstance(tree, dict) or keys[0] not in tree:
        return None
    if len(keys) == 1:
        is_table = isinstance(tree[keys[0]], dict)
        if is_table and tree[keys[0]]:
            return None  # more than one value
        del tree[keys[0]]
        return keys if is_table else []
    emptied = _take_out(tree[keys[0]], keys[1:])
    if emptied is None:
        return None
    emptied = [f"{keys[0]}.{empty}" for empty in emptied]
    if not tree[keys[0]]:
        del tree[keys[0]]
        emptied.append(keys[0])
    return emptied


def _put(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = value


def _says(text: str, expected: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:
        return False
