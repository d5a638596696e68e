"""Alembic runs this file; the connection, in a transaction, comes from the caller."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()
