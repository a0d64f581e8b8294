"""Watch cameras and recordings beside other work: python examples/watch.py rtsp://viewer:secret@192.0.2.10/1 monday.mp4

Without a source, the demonstration clip as a recording. Stops with Ctrl-C, or when all recordings have ended.
HOISTREAM_MODEL=hoiclip-hico for real footage.
"""

import asyncio
import os
import sys
from collections import Counter

import hoistream

SOURCES = sys.argv[1:] or [str(hoistream.demo_clip())]


async def say(going_on: Counter[str]) -> None:
    """Say now and then how many interactions go on; the events do not wait for it."""
    while True:
        await asyncio.sleep(1.0)
        print(f"going on: {dict(+going_on)}", flush=True)


async def main() -> None:
    """Print what begins and ends until every recording has."""
    model = hoistream.load_model(os.environ.get("HOISTREAM_MODEL", "demo"))
    going_on: Counter[str] = Counter()
    async with hoistream.watch(SOURCES, model=model) as events:
        beside = asyncio.create_task(say(going_on))
        async for event in events:
            match event:
                case hoistream.InteractionEvent(type="started"):
                    going_on[event.interaction] += 1
                    print(f"{event.source_id}: human {event.human_id} begins to {event.interaction}", flush=True)
                case hoistream.InteractionEvent(type="ended"):
                    going_on[event.interaction] -= 1
                    print(f"{event.source_id}: {event.interaction} is over: {event.duration_s:.1f} s", flush=True)
                case hoistream.CoverageGapEvent():
                    print(f"{event.source_id}: could not see for {event.blind_s:.0f} s: {event.why}", flush=True)
                case hoistream.SourceStateEvent():
                    print(f"{event.source_id}: {event.state} {event.why}".rstrip(), flush=True)
    beside.cancel()


try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
except hoistream.HoistreamError as error:
    sys.exit(f"error: {error}")
