"""SQL and nothing else: schema, migrations, queries, transactions."""
