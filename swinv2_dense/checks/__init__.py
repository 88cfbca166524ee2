"""Checks that know no library: configs, files and COCO annotations, before anything slow starts."""
