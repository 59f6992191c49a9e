"""What Alembic runs: the revisions, over the connection and inside the transaction that ``migrate.py`` hands in."""

from alembic import context

from mailbridge.queue.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
