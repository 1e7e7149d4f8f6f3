"""Pure rules: what is submitted to Swarm as a service, and what its answers mean."""
