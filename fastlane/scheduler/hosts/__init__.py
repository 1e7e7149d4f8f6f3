"""What a worker knows of hosts: those that it may use, those that others use, and those that are lost."""
