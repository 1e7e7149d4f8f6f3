"""Exports of a store and their imports, by the command line."""
