"""What a store says when it cannot do what was asked."""

from heli.schema.errors import HeliError


class StoreError(HeliError):
    """A store answered, and refused: asking the same again will not help."""

    code = "store_failure"


class TooNewError(StoreError):
    """The data was written by a newer heli, whose changes this one does not know."""

    code = "store_too_new"
