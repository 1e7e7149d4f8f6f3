"""Watches activated services until they end, and decides what to do about each."""
