"""Who does what with which object: human-object interactions from cameras and recorded video, as events."""

from stream.safe_logs import redact_logs

redact_logs()  # no line of our loggers ever holds a password, whatever handlers an application has
