"""httpx, imported without its command line, which would load click, rich and pygments: twice the time.

`None` in `sys.modules` makes the import fail, for which httpx has a fallback of its own.
"""

import sys

if "httpx" not in sys.modules:
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    import httpx as httpx

    del sys.modules["httpx._main"]
else:
    import httpx as httpx

__all__ = ["httpx"]
