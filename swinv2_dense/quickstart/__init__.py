"""The embedded example: a data set that is generated, and pictures of what was learned from it."""
