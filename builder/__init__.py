"""What building the package takes: the backend that pip calls, and what it makes that is not in git."""
