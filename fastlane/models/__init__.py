"""Frozen values and pure rules. Nothing here reads a clock, a store, a queue or an engine."""
