"""The soak: a fastlane of real processes under a steady load for hours, and what of it grows. ``make soak HOURS=1`` runs it."""
