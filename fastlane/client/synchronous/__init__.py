"""The client without asyncio: written from ``fastlane.client.asynchronous`` by tests/support/sync_client.py, never by hand."""
