"""The commands that talk to a server: they import the client only, and what takes long to import when it is used."""
