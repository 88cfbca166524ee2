"""Pictures of samples and predictions: colors, captions and labels of all tasks."""
