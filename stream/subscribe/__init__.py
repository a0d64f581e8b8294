"""Reading events from a Redis stream, from any Python program."""
