"""What surrounds the program: launchers of its processes, and the libraries it stands on."""
