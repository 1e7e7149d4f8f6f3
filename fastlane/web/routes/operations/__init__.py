"""Routes of the installation: its hosts, pools, health, events, and what operators do."""
