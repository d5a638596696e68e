"""A conversation as text: who said what, tools in one line each, Markdown where a terminal shows it."""

import io
import json
from typing import Any

from heli.cli import figures
from heli.cli.printable import block, clip, fitting, line
from heli.cli.terminal import paint
from heli.schema.conversation import Conversation, Message, Part, PartKind

MARGIN = 11
"""Where the words begin; the role stands before."""
LEAST_WIDTH = 40
ARGUMENT_WIDTH = 60


class ConversationText:
    """Writes one conversation for a width, with or without colours."""

    def __init__(
        self, conversation: Conversation, width: int, is_colored: bool, is_full: bool = False
    ) -> None:
        self._conversation = conversation
        self._width = max(LEAST_WIDTH, width) - MARGIN
        self._is_colored = is_colored
        self._is_full = is_full
        said = [part for message in conversation.messages for part in message.parts]
        self._called = {part.call_id for part in said if part.kind is PartKind.TOOL_CALL}
        self._results = {part.call_id: part for part in said if part.kind is PartKind.TOOL_RESULT}

    def write(self) -> str:
        said = self._conversation
        paragraphs = [self._tools()] if said.tools else []
        if said.system:
            paragraphs.append(self._message(Message(role="system", parts=said.system)))
        paragraphs += [self._message(message) for message in [*said.messages, *said.reply]]
        return "".join(paragraph for paragraph in paragraphs if paragraph)

    def _tools(self) -> str:
        names = line(", ".join(tool.name for tool in self._conversation.tools))
        text = f"{len(self._conversation.tools)}: {names}"
        lines = _wrap(text, self._width) if self._is_full else [clip(text, self._width)]
        return self._beside("tools", lines)

    def _message(self, message: Message) -> str:
        """Empty when it holds nothing but results that stand beside their calls."""
        lines = [text for part in message.parts for text in self._part(part, message.role)]
        return self._beside(message.role, lines) if lines else ""

    def _part(self, part: Part, role: str) -> list[str]:
        match part.kind:
            case PartKind.TEXT:
                return self._words(part.text, is_markdown=role == "assistant")
            case PartKind.THINKING:
                return [
                    paint(text, "dim", self._is_colored) for text in self._words(part.text, is_markdown=False)
                ]
            case PartKind.TOOL_CALL:
                return self._call(part)
            case PartKind.TOOL_RESULT:
                return self._unplaced_result(part)
        return [paint(clip(_attachment(part), self._width), "dim", self._is_colored)]

    def _words(self, text: str, is_markdown: bool) -> list[str]:
        text = block(text).strip("\n")
        if is_markdown and self._is_colored:
            return _render_markdown(text, self._width)
        return [wrapped for one in text.split("\n") for wrapped in _wrap(one, self._width)]

    def _call(self, part: Part) -> list[str]:
        head = paint(f"⚒ {line(part.name)}", "strong", self._is_colored)
        result = self._results.get(part.call_id)
        if self._is_full:
            results = self._result_in_full(result) if result else []
            return [head, *self._indented(_argument_lines(part.text)), *results]
        outcome = f"→ {_outcome(result)}" if result else ""
        arguments = clip(_arguments(part.text), ARGUMENT_WIDTH)
        painted = paint(outcome, "bad" if result and result.is_error else "dim", self._is_colored)
        return [f"{head}  {arguments.ljust(ARGUMENT_WIDTH - len(part.name))}  {painted}".rstrip()]

    def _unplaced_result(self, part: Part) -> list[str]:
        """A result whose call is not part of this request."""
        if part.call_id in self._called:
            return []
        return self._result_in_full(part) if self._is_full else [f"→ {_outcome(part)}"]

    def _result_in_full(self, result: Part) -> list[str]:
        mark = paint(
            "→ error" if result.is_error else "→", "bad" if result.is_error else "dim", self._is_colored
        )
        text = block(result.text).strip("\n")
        return (
            [f"{mark} ok"] if not text and not result.is_error else [mark, *self._indented(text.split("\n"))]
        )

    def _indented(self, lines: list[str]) -> list[str]:
        return [f"  {wrapped}" for one in lines for wrapped in _wrap(one, self._width - 2)]

    def _beside(self, role: str, lines: list[str]) -> str:
        """The lines with the role before the first of them, and an empty line after the last."""
        name = paint(clip(line(role), MARGIN - 1).ljust(MARGIN), "strong", self._is_colored)
        rest = "".join(f"{' ' * MARGIN}{text}".rstrip() + "\n" for text in lines[1:])
        return f"{name}{lines[0]}\n{rest}"


def _arguments(text: str) -> str:
    """The arguments of a call in short: the only value, else `name: value` each."""
    try:
        tree = json.loads(text)
    except ValueError:
        return line(text)
    if not isinstance(tree, dict):
        return line(text)
    shown = {key: value if isinstance(value, str) else json.dumps(value) for key, value in tree.items()}
    if len(shown) == 1:
        return line(next(iter(shown.values())))
    return line("  ".join(f"{key}: {value}" for key, value in shown.items()))


def _argument_lines(text: str) -> list[str]:
    """The arguments of a call in full, `name: value` each, a text of several lines below its name."""
    try:
        tree = json.loads(text)
    except ValueError:
        return block(text).split("\n")
    if not isinstance(tree, dict):
        return block(_json_text(tree)).split("\n")
    lines = []
    for key, value in tree.items():
        told = value if isinstance(value, str) else _json_text(value)
        first, *more = block(told).strip("\n").split("\n")
        lines += (
            [f"{line(key)}:", *(f"  {one}" for one in (first, *more))] if more else [f"{line(key)}: {first}"]
        )
    return lines


def _json_text(value: Any) -> str:
    """In one line where that is short."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= ARGUMENT_WIDTH else json.dumps(value, indent=2, ensure_ascii=False)


def _outcome(result: Part) -> str:
    """A tool's result in a few words."""
    text = line(result.text.strip())
    lines = result.text.strip().count("\n") + 1
    if result.is_error:
        return f"error: {clip(text, 40)}"
    if not text:
        return "ok"
    return f"{lines:,} lines" if lines > 1 else clip(text, 40)


def _attachment(part: Part) -> str:
    facts = [part.name, part.media_type, part.url]
    if part.data_bytes is not None:
        facts.append(figures.size(part.data_bytes))
    if part.kind is PartKind.OTHER:
        facts.append(part.text)
    return line(f"[{part.kind}{''.join(f' {fact}' for fact in facts if fact)}]")


def _wrap(text: str, width: int) -> list[str]:
    """Lines no wider than this, broken between words where there are any; an indent stays before its word."""
    lines, start = [], 0
    while (end := fitting(text, start, width)) < len(text):
        cut = text.rfind(" ", start, end + 1)
        if cut < 0 or not text[start:cut].strip():
            cut = max(end, start + 1)
        lines.append(text[start:cut].rstrip())
        start = cut
        while text.startswith(" ", start):
            start += 1
    return [*lines, text[start:]] if start < len(text) or not lines else lines


def _render_markdown(text: str, width: int) -> list[str]:
    from rich.console import Console
    from rich.markdown import Markdown

    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=True, color_system="standard", legacy_windows=False
    )
    console.print(Markdown(text, hyperlinks=False))
    return [one.rstrip() for one in out.getvalue().rstrip("\n").split("\n")]
