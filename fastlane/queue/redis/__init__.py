"""The queue's adapter for Redis. Each verb of the port is one Lua script."""
