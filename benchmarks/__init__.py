"""What fastlane costs, measured beside the bare thing in the same run: absolute figures move from machine to machine, ratios less so."""
