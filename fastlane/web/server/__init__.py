"""The Tornado application, its router, and the server with its limits."""
