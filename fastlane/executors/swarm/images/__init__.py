"""Image references resolved to digests, and the credentials for their registries."""
