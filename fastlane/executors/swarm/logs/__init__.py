"""Reads the logs of Swarm tasks."""
