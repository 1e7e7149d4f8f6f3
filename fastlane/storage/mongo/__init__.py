"""The store's adapter for MongoDB, for processes on several machines."""
