"""`heli show`: one call in full."""

import contextlib
import re
import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from heli.cli.backend_client import open_client
from heli.cli.options import ColorOption, FieldsOption
from heli.cli.pager import page
from heli.cli.printable import beside, escaped, wrapped
from heli.cli.request_facts import facts, headline
from heli.cli.request_rows import request_tree, short_id
from heli.cli.sink import encode, pick, split_fields
from heli.cli.terminal import paint, text_width, wants_color
from heli.schema.errors import NotFoundError, UsageError
from heli.schema.request import Request
from heli.schema.settings import load_settings

if TYPE_CHECKING:
    from heli.client import Client
_REFERENCE = re.compile(r"@?[\w-]+", re.ASCII)
"""What may stand in a path; the backend tells what is wrong with the rest."""


def show(
    ref: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="An id, a unique beginning of one (4 digits or more), @last or @-2."
        ),
    ] = "@last",
    full: Annotated[bool, typer.Option("--full", help="Arguments and results of tools in full.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Heads and bodies as they crossed the wire.")] = False,
    headers: Annotated[bool, typer.Option("--headers", help="Only the two heads.")] = False,
    curl: Annotated[bool, typer.Option("--curl", help="A curl command that makes the call again.")] = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FORMAT", help="text or json; json tells everything."),
    ] = None,
    fields: FieldsOption = None,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="Write it all at once.")] = False,
    color: ColorOption = None,
) -> None:
    """Show one call: its conversation, then tokens, cost, times and what the provider said of itself.

    \b
    Examples:
      heli show @last                 the newest call
      heli show 7f3a9c --full         with what tools were given and have answered
      heli show @-2 --curl | sh       make the call before the last one again
      heli show 7f3a9c --json cost_usd,usage.total_tokens
      heli show 7f3a9c -o json | jq .conversation.messages[-1]

    Secrets were masked before anything was stored. On a terminal long text goes through HELI_PAGER,
    PAGER or `less -FRX`.
    """
    if output not in (None, "text", "json"):
        raise UsageError(f"-o {output!r} is not a format of `heli show`", "choose text or json")
    if sum([raw, headers, curl, bool(fields) or output == "json"]) > 1:
        raise UsageError("--raw, --headers, --curl and JSON contradict each other", "choose one of them")
    if not _REFERENCE.fullmatch(ref):
        raise UsageError(f"{ref!r} is no reference to a call", "give an id or how it begins, @last or @-2")
    with open_client(load_settings()) as client:
        if raw or headers or curl:
            text = _wire(client, ref, "raw" if raw else "heads" if headers else "curl")
        elif fields or output == "json":
            text = _json(client, ref, split_fields(fields))
        else:
            text = _text(client, ref, full)
    page(text, is_wanted=not (no_pager or curl))


def _wire(client: "Client", ref: str, form: str) -> str:
    from heli.cli import exchange_text

    forms = {"raw": exchange_text.raw, "heads": exchange_text.heads, "curl": exchange_text.curl}
    return forms[form](client.exchange(ref))


def _json(client: "Client", ref: str, fields: list[str]) -> str:
    request = client.request(ref)
    tree = request_tree(request) | {"conversation": None}
    if not fields or any(name.split(".")[0] == "conversation" for name in fields):
        with contextlib.suppress(NotFoundError):
            tree["conversation"] = msgspec.to_builtins(client.conversation(str(request.id)))
    if fields:
        chosen = {name: pick(tree, name) for name in fields}
        return escaped(encode(chosen).decode()) + "\n"
    text = encode(tree)
    if sys.stdout.isatty():
        text = msgspec.json.format(text, indent=2)
    return escaped(text.decode()) + "\n"


def _text(client: "Client", ref: str, is_full: bool) -> str:
    request = client.request(ref)
    is_colored = wants_color(sys.stdout)
    rows = [(title, text) for title, text in facts(request)]
    rows.append(("next", _next(request)))
    columns = text_width(sys.stdout)
    below = "".join(
        paint(title.ljust(9), "dim", is_colored) + beside(" " * 9, text, columns)[9:] for title, text in rows
    )
    head = "\n".join(paint(text, "strong", is_colored) for text in wrapped(headline(request), columns))
    return f"{head}\n\n{_conversation(client, request, is_colored, is_full)}\n{below}"


def _conversation(client: "Client", request: Request, is_colored: bool, is_full: bool) -> str:
    from heli.cli.conversation_text import ConversationText

    try:
        conversation = client.conversation(str(request.id))
    except NotFoundError as error:
        told = wrapped(f"The conversation was not kept: {error.message}", text_width(sys.stdout))
        return "".join(paint(text, "dim", is_colored) + "\n" for text in told)
    # What is coloured in a pipe is meant for a pager.
    columns = 100 if is_colored and not sys.stdout.isatty() else text_width(sys.stdout)
    text = ConversationText(conversation, columns, is_colored, is_full).write()
    return (
        text
        or paint(f"This {request.operation} call holds no conversation; see --raw.", "dim", is_colored) + "\n"
    )


def _next(request: Request) -> str:
    short = short_id(request)
    return f"heli show {short} --raw · heli show {short} --curl"
