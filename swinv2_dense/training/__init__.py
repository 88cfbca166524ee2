"""What a training run needs beyond mmengine, whatever its task."""
