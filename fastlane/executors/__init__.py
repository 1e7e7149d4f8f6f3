"""Executors: what runs an execution. The one for production is ``swarm``."""
