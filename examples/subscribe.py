"""Say when somebody starts or stops something, on every camera: python examples/subscribe.py redis://localhost:6379/0

Needs only `pip install hoistream`: no NumPy, no torch. Start it twice: the two share the events of the group.
"""

import sys

import hoistream

url = sys.argv[1] if len(sys.argv) > 1 else "redis://localhost:6379/0"

with hoistream.subscribe(url, group="example", types={"started", "ended"}) as events:
    for event in events:
        if not isinstance(event, hoistream.InteractionEvent):
            continue  # filtered out already; this is for the type checker
        when = (
            f"since {event.started_media_s:.1f} s"
            if event.type == "started"
            else f"over after {event.duration_s:.1f} s"
        )
        print(f"{event.source_id}: human {event.human_id}, {event.interaction}, {when}: {event.why}", flush=True)
