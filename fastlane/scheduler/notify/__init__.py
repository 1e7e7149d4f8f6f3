"""Tells others: which deliveries are due and what became of them, and which jobs are late. ``fastlane.notify`` knows how to send."""
