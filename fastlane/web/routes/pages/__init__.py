"""What browsers get: pages, their files, sessions, and the description of the API."""
