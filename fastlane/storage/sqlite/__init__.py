"""The store's adapter for SQLite, for processes on one machine."""
