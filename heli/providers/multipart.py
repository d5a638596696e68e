"""The fields of a `multipart/form-data` body. Of a file only its name, type and size are kept."""

import re

from heli.providers.json_values import Json

_BOUNDARY = re.compile(rb'boundary="?([^";,\r\n]{1,200})"?', re.IGNORECASE)
_PARAMETER = re.compile(rb'(?:^|[;\s])(name|filename)="((?:[^"\\\r\n]|\\.)*)"')
_TYPE = re.compile(rb"^content-type:[ \t]*([^\r\n;]+)", re.IGNORECASE | re.MULTILINE)
_DISPOSITION = re.compile(rb"^content-disposition:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)

_MOST_PARTS = 1000
_LONGEST_HEAD = 16 * 1024
_LONGEST_TEXT = 1024 * 1024


def read_form(body: bytes, content_type: bytes) -> dict[str, Json] | None:
    """`{name: text}`, and `{name: {filename, content_type, bytes}}` for files; `None` for what is no form.

    A name that comes several times, or as `name[]`, holds a list. A body that was cut yields what came.
    """
    found = _BOUNDARY.search(content_type) if b"multipart/form-data" in content_type.lower() else None
    if found is None:
        return None
    fields: dict[str, Json] = {}
    marker = b"--" + found[1].strip()
    position = body.find(marker)
    for _ in range(_MOST_PARTS):
        if position < 0 or body.startswith(b"--", position + len(marker)):
            break
        start = position + len(marker)
        position = body.find(b"\r\n" + marker, start)
        _take_part(fields, body, start, position if position >= 0 else len(body))
        position = position + 2 if position >= 0 else -1
    return fields


def _take_part(fields: dict[str, Json], body: bytes, start: int, end: int) -> None:
    head_end = body.find(b"\r\n\r\n", start, min(end, start + _LONGEST_HEAD))
    if head_end < 0:
        return
    head = body[start:head_end].lstrip()
    disposition = _DISPOSITION.search(head)
    named = dict(_PARAMETER.findall(disposition[1])) if disposition else {}
    if b"name" not in named:
        return
    size = end - (head_end + 4)
    value: Json
    if b"filename" in named:
        kind = _TYPE.search(head)
        value = {
            "filename": named[b"filename"].decode("utf-8", "replace"),
            "content_type": kind[1].strip().decode("latin-1") if kind else "",
            "bytes": size,
        }
    elif size > _LONGEST_TEXT:
        return
    else:
        value = body[head_end + 4 : end].decode("utf-8", "replace")
    name = named[b"name"].decode("utf-8", "replace")
    _add(fields, name.removesuffix("[]"), value, is_list=name.endswith("[]"))


def _add(fields: dict[str, Json], name: str, value: Json, is_list: bool) -> None:
    known = fields.get(name)
    if isinstance(known, list):
        known.append(value)
    elif known is not None:
        fields[name] = [known, value]
    else:
        fields[name] = [value] if is_list else value
