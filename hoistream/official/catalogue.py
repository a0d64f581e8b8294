"""The official HOICLIP checkpoints: where their authors publish them, and what the paper reports for each.

Source: HOICLIP (Ning et al., CVPR 2023), tables 1 to 4, and the addresses that its authors give. The authors state no
licence for the weights: whoever downloads them decides whether that is good enough.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

from hoiclip.errors import InputError

LICENCE: Final = "none stated by the authors"


@dataclass(frozen=True)
class OfficialModel:
    """One checkpoint that can be downloaded."""

    name: str  # what `--model` takes once it is installed
    drive_id: str  # of the file on Google Drive
    variant: str  # what conversion must recognise in it
    trained_rows: int  # interactions it was trained on: tells the zero-shot splits apart where they differ
    reported: str  # what the paper reports
    note: str = ""

    @property
    def page(self) -> str:
        """The address for people."""
        return f"https://drive.google.com/file/d/{self.drive_id}/view"


_ENHANCED = "with the enhancement at top 10: without it a conversion will not reach this"
OFFICIAL: Final = (
    OfficialModel(
        "hoiclip-hico",
        "1q3JuEzICoppij3Wce9QfwZ1k9a4HZ9or",
        "HICO-DET",
        600,
        "HICO-DET mAP 34.69 full, 31.12 rare, 35.74 non-rare",
        _ENHANCED,
    ),
    OfficialModel(
        "hoiclip-vcoco", "1PAT2P3TaBCwG3AHuFcbe3iOk2__XOf_R", "V-COCO", 263, "V-COCO role AP 63.50 (S1), 64.81 (S2)"
    ),
    OfficialModel(
        "hoiclip-rf-uc",
        "1E7QLhKgsC1qutGUinXIPmANRR3glYQ1h",
        "HICO-DET, zero-shot",
        480,
        "HICO-DET mAP 25.53 unseen, 34.85 seen, 32.99 full",
        "zero-shot: 120 rare interactions unseen",
    ),
    OfficialModel(
        "hoiclip-nf-uc",
        "1W1zUEX3uDJN32UMI8seTDzmXZ5i9uBz7",
        "HICO-DET, zero-shot",
        480,
        "HICO-DET mAP 26.39 unseen, 28.10 seen, 27.75 full",
        "zero-shot: 120 frequent interactions unseen",
    ),
    OfficialModel(
        "hoiclip-uo",
        "1oOe8rOwGDugIhd5N3-dlwyf5SpxYFkHE",
        "HICO-DET, zero-shot",
        500,
        "HICO-DET mAP 16.20 unseen, 30.99 seen, 28.53 full",
        "zero-shot: 12 objects unseen",
    ),
    OfficialModel(
        "hoiclip-uv",
        "174J4x0LovEZBnZ_0yAObMsdl5sW9SZ84",
        "HICO-DET, zero-shot",
        516,
        "HICO-DET mAP 24.30 unseen, 32.19 seen, 31.09 full",
        "zero-shot: 20 verbs unseen",
    ),
)


def official_model(name: str) -> OfficialModel:
    """Return the checkpoint called `name`. Raises InputError with the nearest name."""
    known = {model.name: model for model in OFFICIAL}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean `{near[0]}`? " if near else ""
    raise InputError(f"no official model called {name!r}; {hint}there are {', '.join(known)}")
