"""From an event to every sink: spool, delivery, sinks."""
