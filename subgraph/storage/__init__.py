"""PostgreSQL: embedded or by DSN, its schema, and its named queries."""

from subgraph.storage.database import Database, Transaction
from subgraph.storage.embedded import EmbeddedPostgres
from subgraph.storage.migrations import SchemaRefused

__all__ = ["Database", "EmbeddedPostgres", "SchemaRefused", "Transaction"]
