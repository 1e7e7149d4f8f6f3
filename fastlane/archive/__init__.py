"""The places of archived logs."""
