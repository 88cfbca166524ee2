"""Data sets on disk: unpack, check, report, hand in. Behind tools/prepare_data.py.

A data set is one module with `ARCHIVES` (see `archives.unpack`) and `check(root, workers)`, which
returns the parts of its tree as rows of the report.
"""
