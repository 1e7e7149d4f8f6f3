"""The base of every handler, and what all handlers share."""
