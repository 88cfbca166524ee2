"""Datasets on disk: unpack, convert, check and report, and submissions to servers.

Each dataset is a module with `ARCHIVES` (see `archives.unpack`) and `check(root, workers)`, which
returns the rows of the report.
"""
