"""Checkpoint files: read safely, fetched, recognised, converted, loaded and written."""
