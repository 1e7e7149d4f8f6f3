"""Authentication, login throttling, checks of Host and Origin, and tickets for browsers."""
