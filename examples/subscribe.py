"""Say when somebody starts or stops something, on every camera: python examples/subscribe.py redis://localhost:6379/0

Needs only redis and pydantic. Start it twice with the same group: the two share the events.
"""

import sys

from stream.events.schema import InteractionEvent
from stream.subscribe.client import subscribe

url = sys.argv[1] if len(sys.argv) > 1 else "redis://localhost:6379/0"

with subscribe(url, group="example", types={"started", "ended"}) as events:
    for event in events:
        assert isinstance(event, InteractionEvent)  # the other types are filtered out
        when = (
            f"since {event.started_media_s:.1f} s"
            if event.type == "started"
            else f"over after {event.duration_s:.1f} s"
        )
        print(f"{event.source_id}: human {event.human_id}, {event.interaction}, {when}: {event.why}", flush=True)
