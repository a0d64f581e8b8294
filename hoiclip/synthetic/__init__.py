"""A procedural world with exact ground truth: people, objects, interactions."""
