"""Senders of notifications."""
