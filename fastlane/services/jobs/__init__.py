"""What may be done to jobs and tasks: one service for each verb."""
