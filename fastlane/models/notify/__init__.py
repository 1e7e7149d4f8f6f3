"""What is told to whom when an execution has ended. Pure."""
