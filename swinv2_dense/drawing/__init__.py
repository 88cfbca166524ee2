"""Pictures and videos of samples and predictions: colors, captions and labels for all tasks."""
