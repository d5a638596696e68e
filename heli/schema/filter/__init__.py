"""The filter language: `model:gpt-4o* status>=400 cost>0.01 since:2h "exact words"`.

It means the same wherever requests are listed. `read` gives the filter as it was written, which `write` turns
into its one canonical spelling; `parse` gives the tree of conditions that Helicone's JSON filters have.
The language in a few lines:

- Terms side by side must all hold; `OR` between them wants one of them. `-term` or `not term` is the
  opposite. `not` binds tightest, then side by side, then `OR`; parentheses group. The three words count in
  any case.
- `field:value` compares for equality, `field:a,b` with any of several; `*` in a value stands for any text.
  `field:*` holds where there is a value, `field:""` where there is none; of numbers that is `field:unknown`.
- `field>value`, `>=`, `<`, `<=` compare numbers, money (`0.01`, `$5`), counts (`1k`, `2.5M`) and durations
  (`2s`, `500ms`).
- Any other word, and any "words in quotes", is searched for in the texts of question and reply, in any case.
- In quotes everything counts as itself; there, `\\"` is a quote and `\\\\` a backslash.
"""

from heli.schema.filter.errors import FilterError
from heli.schema.filter.fields import FIELDS, Field, Kind, find_field
from heli.schema.filter.query import And, Not, Or, Query, Term, Value, write
from heli.schema.filter.reading import read
from heli.schema.filter.tree import Node, parse

__all__ = [
    "FIELDS",
    "And",
    "Field",
    "FilterError",
    "Kind",
    "Node",
    "Not",
    "Or",
    "Query",
    "Term",
    "Value",
    "find_field",
    "parse",
    "read",
    "write",
]
