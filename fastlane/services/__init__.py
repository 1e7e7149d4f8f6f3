"""What can be asked of fastlane, without HTTP: each service reads and writes the store, and puts into the queue."""
