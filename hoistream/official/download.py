"""Fetch one checkpoint from Google Drive: resumed where it broke off, and refused when it is something else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from hoiclip.errors import HoistreamError
from hoistream.official.catalogue import OfficialModel

logger = logging.getLogger(__name__)
TIMEOUT_S = (10.0, 30.0)  # to connect, between two bytes
RETRIES = 5  # each goes on where the last broke off
_STARTS = (b"PK\x03\x04", b"\x80")  # what `torch.save` writes: a zip archive, or a pickle of old
_NO_ROOM = 28  # errno.ENOSPC

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all or None where unknown


def download(model: OfficialModel, folder: Path, progress: Progress) -> Path:
    """Return the checkpoint's file in `folder`, downloading what is not there yet.

    What a broken download left is used; `progress` is called for every block.

    Raises HoistreamError in one line when the server refuses, sends a page instead of the file or too little, and
    when the disk is full; what was received stays for the next try.
    """
    import gdown
    import requests
    from gdown.exceptions import DownloadError, FileURLRetrievalError

    target = folder / f"{model.name}.pth"
    by_hand = f"or download {model.page} in a browser and run: hoistream models get {model.name} --from FILE"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        gdown.download(
            id=model.drive_id,
            output=str(target),
            quiet=True,
            use_cookies=False,  # nothing of the user's browser is read or kept
            resume=True,
            retries=RETRIES,
            timeout=TIMEOUT_S,
            progress=progress,
        )
    except OSError as error:
        if isinstance(error, requests.exceptions.RequestException):
            raise HoistreamError(
                f"{model.name}: cannot be downloaded: {_cause(error)}; try again, {by_hand}"
            ) from error
        hint = "free some room or set HOISTREAM_MODELS" if error.errno == _NO_ROOM else "set HOISTREAM_MODELS"
        raise HoistreamError(f"{folder}: cannot be written ({error.strerror}); {hint}") from error
    except FileURLRetrievalError as error:
        reason = " ".join(str(error).split()).partition("You may")[0].strip(" .")  # what follows is advice on gdown
        raise HoistreamError(f"{model.name}: the server does not hand the file out: {reason}; {by_hand}") from error
    except DownloadError as error:
        reason = " ".join(str(error).split()).partition("The received bytes")[0].strip(" .")
        raise HoistreamError(
            f"{model.name}: {reason}; what was received is kept: run the same command again, {by_hand}"
        ) from error
    with target.open("rb") as file:
        start = file.read(16)
    if not start.startswith(_STARTS):
        target.unlink()
        what = "a web page" if start.lstrip().startswith(b"<") else f"something that begins with {start[:8]!r}"
        raise HoistreamError(f"{model.name}: the server sent {what} instead of a checkpoint; try later, {by_hand}")
    return target


def _cause(error: BaseException) -> str:
    """Return the innermost reason: requests wraps several exceptions around it."""
    while error.__context__ is not None and not isinstance(error, TimeoutError):
        error = error.__context__
    return " ".join(str(error).split())
