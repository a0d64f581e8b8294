"""Who does what with which object: human-object interactions from cameras and recorded video, as events."""
