"""Jobs that are declared elsewhere: what reads them there, and keeps them as they are declared."""
