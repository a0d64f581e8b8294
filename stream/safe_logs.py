"""Log records and tracebacks without secrets, whoever handles them.

The place is the factory that makes records: a logger's filter is not asked for what its children log, and handlers
belong to the application (`hoistream` as a library touches none). It holds for loggers that are made later, too.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Final

from stream.redaction import redact

OURS: Final = frozenset({"engines", "hoiclip", "hoistream", "libav", "stream"})
"""The first parts of our loggers' names, and of PyAV's, which passes on what FFmpeg says of a URL."""


class RedactingFactory:
    """Makes records as `make` does, and takes secrets out of those of loggers below `names` (None: of all)."""

    def __init__(self, make: Callable[..., logging.LogRecord], names: Collection[str] | None) -> None:
        self._make, self.names = make, names

    def __call__(self, *arguments: Any, **named: Any) -> logging.LogRecord:
        """Return a record whose message, exception and stack hold no secret; one without any stays as it was."""
        record = self._make(*arguments, **named)
        if self.names is None or record.name.partition(".")[0] in self.names:
            _redact(record)
        return record


def redact_logs(names: Collection[str] | None = OURS) -> None:
    """Take secrets out of what loggers below `names` (None: all loggers) write from now on. Safe to call again."""
    factory = logging.getLogRecordFactory()
    if isinstance(factory, RedactingFactory) and (factory.names is None or factory.names == names):
        return
    logging.setLogRecordFactory(RedactingFactory(factory, names))


def redact_tracebacks() -> None:
    """Take secrets out of the tracebacks of errors that nobody catches; for programs, not for libraries."""

    def show(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        if sys.stderr is not None:
            sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = show
    threading.excepthook = lambda args: show(args.exc_type, args.exc_value, args.exc_traceback)


def _redact(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except Exception:  # arguments that do not fit: `logging` would print them as they are
        message = f"{record.msg} {record.args}"
        record.msg, record.args = message, ()
    clean = redact(message)
    if clean != message:
        record.msg, record.args = clean, ()
    if record.exc_info and record.exc_info[0] is not None:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        clean = redact(text)
        if clean != text:  # handlers show `exc_text`, and make it from `exc_info` only where it is missing
            record.exc_text, record.exc_info = clean, None
    if record.stack_info:
        record.stack_info = redact(record.stack_info)
