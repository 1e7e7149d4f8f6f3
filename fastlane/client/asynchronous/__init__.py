"""A half of the client. Only the one with asyncio is written by hand: builder/client.py makes the other one of it."""
