from __future__ import annotations

import time

import pytest

from stream.ingest.coverage import CoverageAccount


def test_a_camera_that_was_lost_gives_one_gap_from_the_last_frame_to_the_next_named_by_the_first_cause() -> None:
    account = CoverageAccount(live=True, gap_s=2.0)
    assert account.gap_before(1.0, 101.0, False, 0) is None
    account.delivered += 1
    account.blind("stalled", "no data for 3 s", 104.0)
    account.blind("refused", "refused", 105.0)
    gap = account.gap_before(9.0, 109.0, False, 0)
    assert gap is not None
    assert (gap.from_media_s, gap.to_media_s, gap.from_wall_s, gap.to_wall_s) == (1.0, 9.0, 101.0, 109.0)
    assert (gap.reason, gap.blind_s) == ("stalled", 8.0)
    assert account.gap_before(9.2, 109.2, False, 0) is None


@pytest.mark.parametrize(("dropped", "reason"), [(3, "dropped"), (0, "no_frames")])
def test_a_long_hole_between_frames_is_a_gap_that_says_why(dropped: int, reason: str) -> None:
    account = CoverageAccount(live=True, gap_s=2.0)
    account.gap_before(1.0, 101.0, False, 0)
    account.delivered += 1
    for _ in range(dropped):
        account.drop("stale")
    assert account.gap_before(2.9, 102.9, False, 0) is None
    for _ in range(dropped):
        account.drop("stale")
    gap = account.gap_before(5.0, 105.0, False, 0)
    assert gap is not None
    assert gap.reason == reason


def test_damaged_frames_are_blind_until_the_next_good_one() -> None:
    account = CoverageAccount(live=False, gap_s=2.0)
    assert account.gap_before(1.0, None, False, 0) is None
    assert account.gap_before(1.2, None, True, 1) is None
    assert account.gap_before(1.4, None, True, 1) is None
    gap = account.gap_before(1.6, None, False, 1)
    assert gap is not None
    assert (gap.from_media_s, gap.to_media_s, gap.reason) == (1.0, 1.6, "corrupt")
    assert account.snapshot(0).blind_s == pytest.approx(0.6)


def test_a_recording_has_no_gap_for_slow_frames_but_one_for_lost_packets() -> None:
    account = CoverageAccount(live=False, gap_s=2.0)
    account.gap_before(1.0, None, False, 0)
    assert account.gap_before(60.0, None, False, 0) is None
    assert account.gap_before(61.0, None, False, 2) is not None


def test_blindness_that_goes_on_counts_and_is_closed_at_the_end() -> None:
    account = CoverageAccount(live=True, gap_s=2.0)
    account.gap_before(1.0, time.time() - 10, False, 0)
    account.blind("refused", "refused", time.time() - 9)
    assert account.snapshot(0).blind_s == pytest.approx(10, abs=0.1)
    gap = account.end("stopped", "")
    assert gap is not None
    assert gap.reason == "refused"
    assert account.snapshot(0).blind_s == pytest.approx(10, abs=0.1)
    assert account.end("stopped", "") is None


def test_counts_of_a_decoder_that_died_are_kept() -> None:
    account = CoverageAccount(live=True, gap_s=2.0)
    account.decoder_counts(10, 6, {"stale": 1}, 0)
    account.drop("stale")  # on the pipeline's side
    account.decoder_died()
    account.decoder_counts(5, 3, {"stale": 2}, 1)
    assert (account.decoded, account.skipped, account.errors, account.dropped["stale"]) == (15, 9, 1, 4)
