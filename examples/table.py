"""How long was done what, by video: python examples/table.py recordings/ results/

Without a folder, the demonstration clip. A second run takes over what is finished in the folder of results.
HOISTREAM_MODEL=hoiclip-hico for real footage.
"""

import os
import sys

import pyarrow.compute as pc

import hoistream

videos = sys.argv[1] if len(sys.argv) > 1 else hoistream.demo_clip()
results = sys.argv[2] if len(sys.argv) > 2 else None

try:
    table = hoistream.process(videos, out=results, model=os.environ.get("HOISTREAM_MODEL", "demo"))
except hoistream.ProcessError as error:  # some videos cannot be read; the others are done
    print(error, file=sys.stderr)
    table = error.table

ended = table.filter(pc.equal(table["type"], "ended"))
totals = ended.group_by(["source_id", "interaction"]).aggregate([("duration_s", "sum"), ("duration_s", "count")])
for row in totals.sort_by([("source_id", "ascending"), ("duration_s_sum", "descending")]).to_pylist():
    print(f"{row['source_id']}: {row['interaction']}: {row['duration_s_sum']:.1f} s, {row['duration_s_count']} times")
