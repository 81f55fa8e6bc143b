"""Events, items and keys in SQLite or PostgreSQL."""
