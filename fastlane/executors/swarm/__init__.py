"""The executor for Docker Swarm: each execution is one service on one of the registered hosts."""
