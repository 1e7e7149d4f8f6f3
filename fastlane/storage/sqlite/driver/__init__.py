"""The connections to the file, the threads that own them, and its migration."""
