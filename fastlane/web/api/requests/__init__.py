"""The bodies that requests carry."""
