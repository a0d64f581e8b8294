"""Pairs over time: association, smoothing, life cycle. NumPy and SciPy only."""
