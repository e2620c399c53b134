"""What sample.py can do with a run: one file per task."""
