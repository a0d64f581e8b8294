from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from hoiclip.errors import HoistreamError
from hoistream.official.catalogue import OFFICIAL, official_model
from hoistream.official.download import download
from tests.hoistream.official.conftest import Drive

MODEL = OFFICIAL[0]
CONTENT = b"PK\x03\x04" + os.urandom(3_000_000)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 0.0)  # between retries


def fetch(folder: Path) -> tuple[Path, list[tuple[int, int | None]]]:
    steps: list[tuple[int, int | None]] = []
    return download(MODEL, folder, lambda done, total: steps.append((done, total))), steps


def test_a_file_behind_the_confirm_page_arrives_whole_with_progress(drive: Drive, tmp_path: Path) -> None:
    drive.files[MODEL.drive_id] = CONTENT
    path, steps = fetch(tmp_path / "new")
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["hoiclip-hico.pth"]
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert len(steps) > 3


def test_a_transfer_that_breaks_off_goes_on_where_it_was(drive: Drive, tmp_path: Path) -> None:
    drive.files[MODEL.drive_id] = CONTENT
    drive.break_after = [1_200_000, 600_000]
    path, _ = fetch(tmp_path)
    assert path.read_bytes() == CONTENT
    assert len(drive.requests) == 3
    assert drive.requests[0] == ""
    assert all(wanted.startswith("bytes=") for wanted in drive.requests[1:])


def test_a_later_call_uses_what_an_earlier_one_received(drive: Drive, tmp_path: Path) -> None:
    drive.files[MODEL.drive_id] = CONTENT
    drive.break_after = [1_000_000] + [0] * 5
    with pytest.raises(HoistreamError, match=r"incomplete.*run the same command again"):
        fetch(tmp_path)
    drive.requests.clear()
    path, _ = fetch(tmp_path)
    assert path.read_bytes() == CONTENT
    assert drive.requests[-1].startswith("bytes="), drive.requests


def test_a_page_instead_of_the_file_is_refused_and_not_kept(drive: Drive, tmp_path: Path) -> None:
    drive.files[MODEL.drive_id] = CONTENT
    drive.page_instead = True
    with pytest.raises(HoistreamError, match=r"sent a web page instead of a checkpoint.*--from FILE"):
        fetch(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_used_up_quota_and_a_file_that_is_gone_are_one_line_with_another_way(drive: Drive, tmp_path: Path) -> None:
    with pytest.raises(HoistreamError, match=r"hoiclip-hico: .*--from FILE") as gone:
        fetch(tmp_path)
    drive.files[MODEL.drive_id] = CONTENT
    drive.quota = True
    with pytest.raises(HoistreamError, match=r"Too many users.*--from FILE") as quota:
        fetch(tmp_path)
    assert "\n" not in str(gone.value) + str(quota.value)


def test_a_full_disk_is_one_line(drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quota of this process on file sizes: the kernel refuses the write as a full disk would."""
    drive.files[MODEL.drive_id] = CONTENT
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    real_open = open

    def open_full(name: object, mode: str = "r", *args: object, **options: object) -> object:
        if "b" in mode and ("w" in mode or "a" in mode) and str(name).startswith(str(tmp_path)):
            return real_open(full, "wb", buffering=0)
        return real_open(name, mode, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.open", open_full)
    with pytest.raises(HoistreamError, match=r"cannot be written \(No space left on device\); free some room"):
        fetch(tmp_path)


def test_an_unwritable_folder_is_one_line(drive: Drive, tmp_path: Path) -> None:
    drive.files[MODEL.drive_id] = CONTENT
    (tmp_path / "file").write_text("")
    with pytest.raises(HoistreamError, match=r"cannot be written.*HOISTREAM_MODELS"):
        fetch(tmp_path / "file" / "models")


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(HoistreamError, match="did you mean `hoiclip-hico`"):
        official_model("hoiclip-hicodet")
