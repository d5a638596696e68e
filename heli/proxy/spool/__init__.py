"""The spool: exchanges wait here, on disk, for the backend.

Each gateway worker has a writer and a folder of its own; one shipper empties all folders.
"""

from heli.proxy.spool.survey import survey

__all__ = ["survey"]
