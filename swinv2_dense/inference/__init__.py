"""Predictions on files, whatever the task."""
