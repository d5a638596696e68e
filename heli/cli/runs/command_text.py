"""A command line as it may be kept: words that are, or announce, a secret are masked."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

MASK = "***"
_MARK = "_heli_masked_"
"""Stands for the mask until the words are quoted: a shell would have the mask's own characters quoted."""
MOST_CHARS = 500
_TELLING = (
    r"(?:key|token|secret|password|passwd|pwd|passphrase|credentials?|auth|authorization|bearer|jwt|cookie)"
)
_NAME = re.compile(rf"(?i)(?:^|[-_.]){_TELLING}s?$|api-?_?key$|(?:access|auth|secret|private)-?_?key$")
_ASSIGNED = re.compile(r"(?s)(-{0,2}[A-Za-z][\w.-]*)=(.*)")
_HEADER = re.compile(r"(?is)([\w-]+)\s*:\s*(.+)")
_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{8,}|\bAIza[\w-]{20,}|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}"
    r"|\bxox[a-z]-[\w-]{8,}|\bgsk_\w{12,}|\bhf_\w{12,}|\bAKIA[A-Z0-9]{12,}|\bheli_[sp]k_\w+"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"']+")
_USER_INFO = re.compile(r"(?<=://)[^/?#\s@]+@")
_QUERY = re.compile(rf"(?i)([?&;][^=&\s]*{_TELLING}|[?&;](?:sig|code))=[^&\s]+")
_USER_OPTIONS = ("-u", "--user", "--proxy-user")
"""curl's, whose value is `name:password`."""
_NOT_SECRET = re.compile(r"(?i)max|count|limit|budget|num|length|size|-file$|_file$|-path$|stop")
_INTERPRETERS = re.compile(
    r"(?:python|pypy|node|bun|deno|ruby|perl|php|java|bash|sh|zsh|uv|npx|bunx|tsx|pipx)[\d.]*"
)


def mask_command(command: Sequence[str]) -> str:
    """As a shell would take it, at most so many characters."""
    masked, hides_next, program = [], "", Path(command[0]).name if command else ""
    for word in command:
        if hides_next:
            masked.append(_mask_pair(word) if hides_next == "user" else _MARK)
            hides_next = ""
            continue
        masked.append(_mask_word(word))
        hides_next = _announces(word, program)
    text = shlex.join(masked).replace(_MARK, MASK)
    return text if len(text) <= MOST_CHARS else text[: MOST_CHARS - 1] + "…"


def name_of(command: Sequence[str]) -> str:
    """What people call a program: its name; for an interpreter, that of what it runs."""
    name = Path(command[0]).name
    if _INTERPRETERS.fullmatch(name):
        script = next((word for word in command[1:] if not word.startswith("-")), "")
        before = list(command[1 : command.index(script)]) if script else []
        if script and not {"-c", "-e", "-m", "--eval", "-p"} & set(before):
            return Path(script).name or name
        if "-m" in before:
            return script
    return name


def _announces(word: str, program: str) -> str:
    """Whether the next word is a secret (`key`) or holds one (`user`)."""
    if program.startswith("curl") and word in _USER_OPTIONS:
        return "user"
    is_option = word.startswith("-") and "=" not in word
    return "key" if is_option and _is_secret(word.lstrip("-")) else ""


def _is_secret(name: str) -> bool:
    return bool(_NAME.search(name)) and not _NOT_SECRET.search(name)


def _mask_word(word: str) -> str:
    if (assigned := _ASSIGNED.fullmatch(word)) and _is_secret(assigned[1].lstrip("-")):
        return f"{assigned[1]}={_MARK}"
    if (header := _HEADER.fullmatch(word)) and _is_secret(header[1]):
        return f"{header[1]}: {_MARK}"
    word = _BEARER.sub(lambda found: f"{found[1]} {_MARK}", word)
    word = _QUERY.sub(lambda found: f"{found[1]}={_MARK}", _USER_INFO.sub(f"{_MARK}@", word))
    return _KEY_LIKE.sub(_MARK, word)


def _mask_pair(word: str) -> str:
    name, colon, _ = word.partition(":")
    return f"{name}:{_MARK}" if colon else _MARK
