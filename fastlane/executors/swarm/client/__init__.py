"""Calls to one Docker engine: threads, deadlines, a circuit breaker and the translation of errors."""
