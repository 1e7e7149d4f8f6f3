"""Faults that the tests must find: hand-written ones and generated ones, and what runs the tests against each. See ``__main__``."""
