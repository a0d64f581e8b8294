"""Training: matcher, losses, stages and the demonstration model's recipe."""
