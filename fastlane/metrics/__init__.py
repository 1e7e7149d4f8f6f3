"""What a process counts and measures of itself, and the text in which Prometheus reads it."""
