"""Routes of tasks and jobs, their executions, logs and deliveries."""
