"""The store: what fastlane knows and must not lose."""
