"""A filter as it was written, and its canonical spelling. Relative times stay relative, aliases and extra
parentheses are gone."""

import re

import msgspec


class Value(msgspec.Struct, frozen=True):
    """One value of a term."""

    parts: tuple[str, ...]
    """The literal texts between the wildcards: `a*b` is `("a", "b")`, a plain `a` is `("a",)`."""

    @property
    def text(self) -> str:
        """The value with its wildcards written as stars."""
        return "*".join(self.parts)

    @property
    def is_any(self) -> bool:
        """Whether it is `*` alone, that is any value but none."""
        return len(self.parts) > 1 and not any(self.parts)


class Term(msgspec.Struct, frozen=True):
    """One condition. Without a field it searches the texts for its only value."""

    field: str
    """The field's canonical name; empty for a search."""
    key: str
    """`env` in `prop.env`."""
    operator: str
    """`:`, `>`, `>=`, `<` or `<=`."""
    values: tuple[Value, ...]
    positions: tuple[int, ...] = ()
    """Where in the text each value stands; of no account when filters are compared."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Term) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, str, str, tuple[Value, ...]]:
        return self.field, self.key, self.operator, self.values


class Not(msgspec.Struct, frozen=True):
    child: "Query"


class And(msgspec.Struct, frozen=True):
    """All must hold; with no children, everything passes."""

    children: tuple["Query", ...]


class Or(msgspec.Struct, frozen=True):
    """One must hold."""

    children: tuple["Query", ...]


type Query = Term | Not | And | Or

KEYWORDS = frozenset({"and", "or", "not"})
_PLAIN_VALUE = re.compile(r'[^\s()",*<>=!:\\][^\s()",*\\]*')
_PLAIN_WORD = re.compile(r'(?!-)[^\s()"<>=!:\\]+')
_PLAIN_KEY = re.compile(r'[^\s()",:<>=!\\*]+')


def write(query: Query) -> str:
    """The canonical spelling; `read` makes the same query of it."""
    match query:
        case Term():
            return _write_term(query)
        case Not(child):
            inner = write(child)
            return f"-({inner})" if isinstance(child, And | Or) else f"-{inner}"
        case And(children):
            return " ".join(f"({write(c)})" if isinstance(c, Or) else write(c) for c in children)
        case Or(children):
            return " OR ".join(write(child) for child in children)


def _write_term(term: Term) -> str:
    if not term.field:
        word = term.values[0].text
        is_plain = _PLAIN_WORD.fullmatch(word) and word.lower() not in KEYWORDS
        return word if is_plain else _quote(word)
    name = term.field
    if term.key:
        name += "." + (term.key if _PLAIN_KEY.fullmatch(term.key) else _quote(term.key))
    return f"{name}{term.operator}{','.join(_write_value(value) for value in term.values)}"


def _write_value(value: Value) -> str:
    if value.parts == ("",):
        return '""'
    return "*".join(
        part if not part or _PLAIN_VALUE.fullmatch(part) else _quote(part) for part in value.parts
    )


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
