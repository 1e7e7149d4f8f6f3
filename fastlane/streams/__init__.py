"""Logs on their way: from the engine into the store, and out of it."""
