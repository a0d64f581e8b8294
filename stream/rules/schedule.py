"""Whether a rule speaks at a time, by the clock where the cameras are."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from stream.rules.language import DAYS, Schedule

_MIDNIGHT = time(0, 0)


def is_on(schedule: Schedule, wall_s: float, timezone: str | None) -> bool:
    """Whether `schedule` holds at a wall time (seconds since 1970); the machine's zone when `timezone` is None."""
    moment = datetime.fromtimestamp(wall_s, UTC).astimezone(ZoneInfo(timezone) if timezone is not None else None)
    clock = moment.time()
    start, end = schedule.start, schedule.end
    if start < end or end == _MIDNIGHT:
        return _day(moment) in schedule.days and start <= clock and (end == _MIDNIGHT or clock < end)
    if start == end:  # a whole day from then on
        day = moment if clock >= start else moment - timedelta(days=1)
        return _day(day) in schedule.days
    if clock >= start:
        return _day(moment) in schedule.days
    return clock < end and _day(moment - timedelta(days=1)) in schedule.days


def _day(moment: datetime) -> str:
    return DAYS[moment.weekday()]
