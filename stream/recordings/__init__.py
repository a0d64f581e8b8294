"""Recorded videos: batch jobs, results, timelines, annotated video."""
