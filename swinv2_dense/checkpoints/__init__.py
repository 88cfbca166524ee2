"""Checkpoint files: read safely, fetched, recognized, converted, loaded and written."""
