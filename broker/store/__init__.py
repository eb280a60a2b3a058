"""SQL and nothing else: schema, migrations, queries, transactions."""

from broker.store.store import Store

__all__ = ["Store"]
