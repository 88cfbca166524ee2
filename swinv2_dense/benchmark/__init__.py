"""Time, memory and operations of the backbones, beside those of other libraries."""
