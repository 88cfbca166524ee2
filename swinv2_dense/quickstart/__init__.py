"""The quickstart: generated datasets, and pictures of what models learned from them."""
