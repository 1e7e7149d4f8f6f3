"""What a container may be given, and what a pool's policy allows."""
