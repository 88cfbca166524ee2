"""Time and memory of the backbones, compared with other libraries."""
