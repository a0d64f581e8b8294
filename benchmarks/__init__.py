"""Measurements, each printing its machine, versions and command; `python -m benchmarks` runs them all."""
