"""The client for asyncio. ``fastlane.client.synchronous`` is written from it (tests/support/sync_client.py): change only this one."""
