"""Which pools and hosts there are now: what the settings say, and what the store keeps, as one."""
