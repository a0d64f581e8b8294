"""The demonstration model's own recipe: from drawn pictures of the procedural world to finished weights."""
