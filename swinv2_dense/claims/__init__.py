"""Claims of the paper in miniature, from scratch, on generated data."""
