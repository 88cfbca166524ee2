"""Pages about tests: metrics, curves, confusions and pictures of mistakes."""
