"""Models as files that run without this package (ONNX), or without its Python code (pt2)."""
