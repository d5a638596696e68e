"""From the text of a filter to the filter as it was written: the grammar, and nothing of what fields mean."""

import re

from heli.schema.filter.errors import FilterError
from heli.schema.filter.fields import Field, Kind, find_field, nearest_field
from heli.schema.filter.query import And, Not, Or, Query, Term, Value

MAX_CHARACTERS = 8_192
MAX_DEPTH = 32
MAX_VALUES = 256

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_BLANK = re.compile(r"\s*")
_NAME = re.compile(
    rf'(?P<name>[A-Za-z_][A-Za-z0-9_-]*)(?:\.(?P<key>{_QUOTED}|[^\s()",:<>=!\\*]*))?'
    r"(?P<operator>:?>=|:?<=|:?>|:?<|!=|:|=)",
    re.DOTALL,
)
_KEYWORD = re.compile(r"(?:and|or|not)(?=[\s()]|\Z)", re.IGNORECASE)
_NEGATION = re.compile(r"-(?=[^\s)])|not(?=[\s()]|\Z)", re.IGNORECASE)
_OPERATOR = re.compile(r"[:<>=]|!=")
_QUOTE = re.compile(_QUOTED, re.DOTALL)
_PLAIN_IN_WORD = re.compile(r'[^\s()"]+')
_PLAIN_IN_VALUE = re.compile(r'[^\s()",*]+')
_ESCAPE = re.compile(r'\\(["\\])')
_COMPARISONS = (">", ">=", "<", "<=")


def read(text: str) -> Query:
    """Read a filter; the empty text is the filter that lets everything pass.

    Raises `FilterError`, and nothing else, for any text; takes time linear in its length.
    """
    if len(text) > MAX_CHARACTERS:
        raise FilterError(text, MAX_CHARACTERS, f"a filter has at most {MAX_CHARACTERS} characters")
    for position, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise FilterError(text, position, "this is not a character")
    reader = _Reader(text)
    query = reader.read_alternatives(0)
    if reader.position < len(text):
        raise reader.error("nothing is open that this could close", 'to search for it, write ")"')
    return query


class _Reader:
    """Recursive descent over one text; every method starts at and advances `position`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.value_count = 0

    def error(self, problem: str, hint: str = "", position: int | None = None) -> FilterError:
        return FilterError(self.text, self.position if position is None else position, problem, hint)

    def peek(self) -> str:
        """The next character that is no blank, or nothing at the end."""
        match = _BLANK.match(self.text, self.position)
        assert match is not None
        self.position = match.end()
        return self.text[self.position : self.position + 1]

    def take_keyword(self, keyword: str) -> bool:
        """Step over this word when it comes next."""
        self.peek()
        match = _KEYWORD.match(self.text, self.position)
        if match is None or match[0].lower() != keyword:
            return False
        self.position = match.end()
        return True

    def read_alternatives(self, depth: int) -> Query:
        children = [self.read_sequence(depth)]
        while self.peek():
            start = self.position
            if not self.take_keyword("or"):
                break
            children.append(self.read_sequence(depth))
            if And(()) in children[-2:]:
                raise self.error(
                    "OR wants a term on either side", 'to search for the word, write "or"', start
                )
        if len(children) == 1:
            return children[0]
        return Or(
            tuple(
                leaf for child in children for leaf in (child.children if isinstance(child, Or) else [child])
            )
        )

    def read_sequence(self, depth: int) -> Query:
        children: list[Query] = []
        while True:
            self.peek()
            start = self.position
            is_joined = self.take_keyword("and")
            if is_joined and (not children or self.is_at_end_of_sequence()):
                raise self.error(
                    "AND wants a term on either side", 'to search for the word, write "and"', start
                )
            if self.is_at_end_of_sequence():
                return children[0] if len(children) == 1 else And(tuple(children))
            child = self.read_negated(depth)
            children += child.children if isinstance(child, And) else [child]

    def is_at_end_of_sequence(self) -> bool:
        if self.peek() in ("", ")"):
            return True
        match = _KEYWORD.match(self.text, self.position)
        return match is not None and match[0].lower() == "or"

    def read_negated(self, depth: int) -> Query:
        is_negated = False
        self.peek()
        while match := _NEGATION.match(self.text, self.position):
            if match[0] != "-" and self.text[match.end() :].lstrip()[:1] in ("", ")"):
                raise self.error("NOT wants a term", 'to search for the word, write "not"')
            self.position = match.end()
            self.peek()
            is_negated = not is_negated
        if self.is_at_end_of_sequence():
            raise self.error("NOT wants a term", 'to search for the word, write "or"')
        child = self.read_group(depth) if self.peek() == "(" else self.read_term()
        if not is_negated:
            return child
        return child.child if isinstance(child, Not) else Not(child)

    def read_group(self, depth: int) -> Query:
        start = self.position
        if depth >= MAX_DEPTH:
            raise self.error(f"parentheses go at most {MAX_DEPTH} deep")
        self.position += 1
        query = self.read_alternatives(depth + 1)
        if self.peek() != ")":
            raise self.error("this parenthesis is never closed", "add a )", start)
        if query == And(()):
            raise self.error("there is nothing between the parentheses", position=start)
        self.position += 1
        return query

    def read_term(self) -> Query:
        match = _NAME.match(self.text, self.position)
        if match is None:
            if _OPERATOR.match(self.text, self.position):
                raise self.error(
                    "a field belongs right before this",
                    "write it without blanks, status>=400; to search for the text, put it in quotes",
                )
            return self.read_search()
        field, key = self.find(match)
        operator = match["operator"].removeprefix(":") or ":"
        self.position = match.end()
        values, positions = self.read_values(match)
        if operator in _COMPARISONS and len(values) > 1:
            raise self.error(f"{operator} compares with one value", position=positions[1])
        is_negated = operator == "!="
        if operator in ("=", "!="):
            operator = ":"
        term = Term(field.name, key, operator, values, positions)
        return Not(term) if is_negated else term

    def find(self, match: re.Match[str]) -> tuple[Field, str]:
        key = match["key"] or ""
        if key.startswith('"'):
            key = _unquote(key)
        name = f"{match['name']}.{key}" if match["key"] is not None else match["name"]
        found = find_field(name)
        if found is None or (match["key"] is not None and not key):
            near = nearest_field(name)
            raise self.error(
                f"there is no field {name[:60]!r}",
                (f"did you mean {near}? " if near else "see `heli help filters` for the fields; ")
                + f'to search for the text, put it in quotes: "{match[0][:60]}…"',
            )
        if found[0].kind is Kind.SCORE and not found[1] and match["operator"] not in (":", "=", "!="):
            raise self.error("which score?", "name it: score.quality>0")
        return found

    def read_values(self, match: re.Match[str]) -> tuple[tuple[Value, ...], tuple[int, ...]]:
        """Values with commas between them, in parentheses or not."""
        is_grouped = self.text[self.position : self.position + 1] == "("
        start = self.position
        self.position += is_grouped
        values: list[Value] = []
        positions: list[int] = []
        while True:
            if is_grouped:
                self.peek()
            positions.append(self.position)
            values.append(self.read_value(match))
            if is_grouped:
                self.peek()
            if self.text[self.position : self.position + 1] != ",":
                break
            self.position += 1
        if is_grouped:
            if self.peek() != ")":
                if self.position < len(self.text):
                    raise self.error("put a comma between values, and quotes around one with blanks")
                raise self.error("this parenthesis is never closed", "add a )", start)
            self.position += 1
        return tuple(values), tuple(positions)

    def read_value(self, match: re.Match[str]) -> Value:
        self.count_value()
        start = self.position
        parts = [""]
        while self.position < len(self.text):
            if self.text[self.position] == "*":
                parts.append("")
                self.position += 1
            elif self.text[self.position] == '"':
                parts[-1] += self.read_quoted()
            elif plain := _PLAIN_IN_VALUE.match(self.text, self.position):
                parts[-1] += plain[0]
                self.position = plain.end()
            else:
                break
        if self.position == start:
            name = match[0].rstrip(":<>=!")[:60]
            raise self.error(
                f"{match[0][:60]} wants a value right after it", f'{name}:"" finds those without one'
            )
        return Value(tuple(parts))

    def read_search(self) -> Term:
        self.count_value()
        start = self.position
        word = ""
        while self.position < len(self.text):
            if self.text[self.position] == '"':
                word += self.read_quoted()
            elif plain := _PLAIN_IN_WORD.match(self.text, self.position):
                word += plain[0]
                self.position = plain.end()
            else:
                break
        if not word:
            raise self.error("there is nothing to search for in these quotes", position=start)
        return Term("", "", ":", (Value((word,)),), (start,))

    def read_quoted(self) -> str:
        match = _QUOTE.match(self.text, self.position)
        if match is None:
            raise self.error("this quote is never closed", 'add a "')
        self.position = match.end()
        return _unquote(match[0])

    def count_value(self) -> None:
        self.value_count += 1
        if self.value_count > MAX_VALUES:
            raise self.error(f"a filter has at most {MAX_VALUES} values")


def _unquote(quoted: str) -> str:
    return _ESCAPE.sub(r"\1", quoted[1:-1])
