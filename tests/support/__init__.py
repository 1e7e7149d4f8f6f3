"""Real parts for the tests: servers that can be started, stopped, killed and paused."""
