"""From the words of the command line to a checked config; torch is not loaded here."""
