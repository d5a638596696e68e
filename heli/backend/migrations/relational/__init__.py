"""The relational tables' history: Alembic's environment, run by `heli.backend.stores.relational`."""
