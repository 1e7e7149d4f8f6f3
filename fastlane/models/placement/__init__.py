"""Pools and hosts, and the rule that chooses a host."""
