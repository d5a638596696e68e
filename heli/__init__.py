"""heli: see every call your programs make to a language model, from the terminal."""

__version__ = "0.1.0"
