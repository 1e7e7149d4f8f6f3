"""Deliveries, the receivers that fail, and the quotas of mails."""
