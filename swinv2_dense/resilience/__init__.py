"""Fault tolerance: broken data, killed processes, full disks, losses that are not finite."""
