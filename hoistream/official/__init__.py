"""Weights for real footage: what can be had, how it gets here, and where it lies."""
