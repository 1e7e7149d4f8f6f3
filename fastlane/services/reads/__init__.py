"""What may be read: jobs, lists, logs, health and status. Nothing here writes."""
