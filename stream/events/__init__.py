"""What is published: the schema, its documents, and how events look to people."""
