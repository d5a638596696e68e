"""The nouns of heli, each defined once. Nothing here imports another part of heli."""
