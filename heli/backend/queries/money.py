"""Amounts of dollars as they leave the log: added without rounding, written without needless zeros."""

import decimal
from collections.abc import Iterable
from decimal import Decimal

EXACT = decimal.Context(prec=76, traps=[decimal.Inexact, decimal.InvalidOperation])
"""Sums of the log's decimals fit into this without rounding, or fail aloud."""


def add_exactly(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of what is known, to the last digit; `None` when nothing is."""
    total = None
    for amount in amounts:
        if amount is not None:
            total = amount if total is None else EXACT.add(total, amount)
    return total


def plain(amount: Decimal | None) -> Decimal | None:
    """The same amount without the zeros that the column adds; never with a positive exponent."""
    if amount is None:
        return None
    short = amount.normalize(EXACT)
    exponent = short.as_tuple().exponent
    return short.quantize(Decimal(1), context=EXACT) if isinstance(exponent, int) and exponent > 0 else short
