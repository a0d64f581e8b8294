"""The one place where secrets are taken out of text.

Every log line passes through `redact` (`stream.safe_logs`), every failure of a source where it is made, every message
of a decoder where it is received, and what a command prints about an error.
"""

from __future__ import annotations

import re

MASK = "***"

# What stands between "://" and "@": without a slash in any case; with one (a password may hold it) only where a colon
# shows that it is "user:password" and not "host:port/path@...". Bounds keep the time linear: a camera may say anything.
_USER = re.compile(
    r"""([a-z][a-z0-9+.-]{0,30}://)"""
    r"""(?:[^\s/"'<>]{0,2000}|[^\s/:@"'<>]{0,500}:(?!\d{1,5}(?:/|\s|$))[^\s"'<>]{0,2000})@""",
    re.IGNORECASE,
)
_QUERY = re.compile(
    r"""([?&;#](?:pass|passwd|password|pwd|token|access_token|auth|key|api_?key|secret|sig|signature)=)[^&;\s"'<>]+""",
    re.IGNORECASE,
)


def redact(text: object) -> str:
    """Return `text` as a string in which the user and password of every URL and secret query values read ``***``."""
    return _QUERY.sub(rf"\1{MASK}", _USER.sub(rf"\1{MASK}@", str(text)))
