from __future__ import annotations

import pytest

from stream.decode.wire import Counts
from stream.ingest.coverage import BLIND_S, MAX_GAPS_KEPT, CoverageAccount, Moment


def camera(gap_s: float = 2.0) -> CoverageAccount:
    """A camera that was added at media time 0, wall time 100 and monotonic time 50."""
    return CoverageAccount(True, gap_s, at(0.0))


def at(media_s: float) -> Moment:
    return Moment(media_s, 100.0 + media_s, 50.0 + media_s)


def recording() -> CoverageAccount:
    return CoverageAccount(False, 2.0, Moment(0.0))


def test_a_camera_that_was_lost_gives_one_gap_from_the_last_frame_to_the_next_named_by_the_first_cause() -> None:
    account = camera()
    assert account.gap_before(at(1.0), False, 0) is None
    account.delivered += 1
    account.lost("stalled", "no data for 3 s")
    account.lost("refused", "refused")
    gap = account.gap_before(at(9.0), False, 0)
    assert gap is not None
    assert (gap.from_media_s, gap.to_media_s, gap.from_wall_s, gap.to_wall_s) == (1.0, 9.0, 101.0, 109.0)
    assert (gap.reason, gap.blind_s, gap.open) == ("stalled", 8.0, False)
    assert account.gap_before(at(9.2), False, 0) is None


def test_a_camera_that_never_sent_a_frame_was_blind_from_its_start() -> None:
    account = camera()
    account.lost("refused", "refused")
    gap = account.end("stopped", "", Moment(0.0, 107.0, 57.0))
    assert gap is not None
    assert (gap.from_media_s, gap.to_media_s, gap.from_wall_s, gap.to_wall_s) == (0.0, 7.0, 100.0, 107.0)


@pytest.mark.parametrize(("dropped", "reason"), [(3, "dropped"), (0, "no_frames")])
def test_a_long_hole_between_frames_is_a_gap_that_says_why(dropped: int, reason: str) -> None:
    account = camera()
    account.gap_before(at(1.0), False, 0)
    account.delivered += 1
    for _ in range(dropped):
        account.drop("stale")
    assert account.gap_before(at(2.9), False, 0) is None
    for _ in range(dropped):
        account.drop("stale")
    gap = account.gap_before(at(5.0), False, 0)
    assert gap is not None
    assert gap.reason == reason
    assert gap.why.startswith("3 frames" if dropped else "the source")


def test_drops_before_a_good_frame_do_not_explain_a_later_hole() -> None:
    account = camera()
    account.drop("stale")
    account.gap_before(at(1.0), False, 0)
    account.delivered += 1
    gap = account.gap_before(at(9.0), False, 0)
    assert gap is not None
    assert gap.reason == "no_frames"


def test_damaged_frames_are_blind_until_the_next_good_one() -> None:
    account = recording()
    assert account.gap_before(Moment(1.0), False, 0) is None
    assert account.gap_before(Moment(1.2), True, 1) is None
    assert account.gap_before(Moment(1.4), True, 1) is None
    gap = account.gap_before(Moment(1.6), False, 1)
    assert gap is not None
    assert (gap.from_media_s, gap.to_media_s, gap.reason) == (1.0, 1.6, "corrupt")
    assert account.snapshot(0, 0.0).blind_s == pytest.approx(0.6)


def test_a_recording_has_no_gap_for_slow_frames_but_one_for_lost_packets() -> None:
    account = recording()
    account.gap_before(Moment(1.0), False, 0)
    assert account.gap_before(Moment(60.0), False, 0) is None
    assert account.gap_before(Moment(61.0), False, 2) is not None


def test_blindness_that_goes_on_counts_and_is_closed_at_the_end() -> None:
    account = camera()
    account.gap_before(at(1.0), False, 0)
    account.lost("refused", "refused")
    assert account.snapshot(0, 61.0).blind_s == pytest.approx(10.0)
    gap = account.end("stopped", "", at(11.0)._replace(media_s=0.0))
    assert gap is not None
    assert (gap.reason, gap.blind_s) == ("refused", 10.0)
    assert account.snapshot(0, 61.0).blind_s == pytest.approx(10.0)
    assert account.end("stopped", "", at(11.0)) is None


def test_a_clock_that_is_set_does_not_change_how_long_a_camera_was_blind() -> None:
    account = camera()
    account.gap_before(at(1.0), False, 0)
    account.lost("refused", "refused")
    an_hour_back = Moment(0.0, 111.0 - 3600, 61.0)
    gap = account.end("stopped", "", an_hour_back)
    assert gap is not None
    assert gap.blind_s == 10.0


def test_a_blindness_is_told_once_while_it_goes_on_and_once_when_it_is_over() -> None:
    account = camera()
    account.gap_before(at(1.0), False, 0)
    account.delivered += 1
    account.lost("stalled", "no data for 3 s")
    assert account.open_gap(50.9 + BLIND_S, 100.9 + BLIND_S) is None
    gap = account.open_gap(51.0 + BLIND_S, 101.0 + BLIND_S)
    assert gap is not None
    assert (gap.open, gap.reason, gap.from_media_s, gap.to_media_s) == (True, "stalled", 1.0, 1.0 + BLIND_S)
    assert (gap.from_wall_s, gap.to_wall_s) == (101.0, 101.0 + BLIND_S)
    assert account.open_gap(90.0, 140.0) is None
    assert account.snapshot(0, 51.0).num_gaps == 0
    whole = account.gap_before(at(30.0), False, 0)
    assert whole is not None
    assert (whole.open, whole.from_media_s, whole.blind_s, whole.reason) == (False, 1.0, 29.0, "stalled")
    assert account.open_gap(80.0 + BLIND_S, 130.0 + BLIND_S) is not None  # the next one is another


def test_a_camera_that_sends_nothing_and_says_nothing_is_blind_too_and_the_hole_is_closed() -> None:
    account = camera()
    gap = account.open_gap(50.0 + BLIND_S, 100.0 + BLIND_S)
    assert gap is not None
    assert gap.reason == "no_frames"
    assert account.gap_before(at(8.0), False, 0) is not None


def test_a_camera_that_is_looked_at_once_a_minute_is_not_blind_between() -> None:
    account = camera(gap_s=150.0)
    account.gap_before(at(1.0), False, 0)
    assert account.open_gap(111.0, 161.0) is None
    assert account.open_gap(202.0, 252.0) is not None


def test_a_recording_is_never_blind_by_the_clock() -> None:
    account = recording()
    account.gap_before(Moment(1.0), True, 0)
    assert account.open_gap(1e6, 1e6) is None


def test_counts_of_a_decoder_that_died_are_kept() -> None:
    account = camera()
    account.decoder_counts(Counts(decoded=10, skipped=6, stale=1))
    account.drop("stale")  # on the pipeline's side
    account.decoder_died()
    account.decoder_counts(Counts(decoded=5, skipped=3, stale=2, errors=1))
    assert account.counts == Counts(decoded=15, skipped=9, stale=3, errors=1)
    assert account.dropped["stale"] == 4


def test_decoders_that_die_before_they_report_lose_no_count_and_none_counts_twice() -> None:
    account = camera()
    account.decoder_counts(Counts(decoded=10, skipped=6))
    account.decoder_died()
    account.decoder_died()
    assert account.counts == Counts(decoded=10, skipped=6)
    account.decoder_counts(Counts(decoded=1))
    account.decoder_died()
    account.decoder_died()
    assert account.counts == Counts(decoded=11, skipped=6)
    account.delivered = 5
    assert account.snapshot(0, 0.0).seen == 1.0


def test_a_recordings_second_decoder_counts_the_same_frames_again() -> None:
    account = recording()
    account.decoder_counts(Counts(decoded=10, skipped=6, errors=1))
    account.decoder_died()
    account.decoder_counts(Counts(decoded=2))
    assert account.counts == Counts(decoded=10, skipped=6, errors=1)
    account.decoder_counts(Counts(decoded=12, skipped=7, errors=1))
    assert account.counts == Counts(decoded=12, skipped=7, errors=1)


def test_frames_that_were_not_chosen_or_still_wait_do_not_count_as_unseen() -> None:
    account = camera()
    account.decoder_counts(Counts(decoded=100, skipped=80))
    account.delivered = 15
    account.drop("overwritten")
    account.drop("overwritten")
    coverage = account.snapshot(3, 0.0)
    assert coverage.seen == pytest.approx(15 / 17)
    assert coverage.decoded == coverage.skipped + coverage.delivered + sum(coverage.dropped.values()) + coverage.pending


def test_an_account_keeps_the_last_gaps_and_counts_them_all() -> None:
    account = recording()
    for number in range(MAX_GAPS_KEPT + 20):
        account.lost("corrupt", "")
        account.gap_before(Moment(number + 1.0), False, 0)
    coverage = account.snapshot(0, 0.0)
    assert (len(coverage.gaps), coverage.num_gaps) == (MAX_GAPS_KEPT, MAX_GAPS_KEPT + 20)
    assert coverage.gaps[-1].to_media_s == MAX_GAPS_KEPT + 20
    assert coverage.blind_s == MAX_GAPS_KEPT + 20


def test_a_recording_that_is_cut_off_has_a_gap_at_its_end() -> None:
    account = recording()
    account.gap_before(Moment(1.0), False, 0)
    gap = account.end("truncated", "is cut off", Moment(3.0))
    assert gap is not None
    assert (gap.from_media_s, gap.to_media_s, gap.reason) == (1.0, 3.0, "truncated")
    whole = recording()
    whole.gap_before(Moment(1.0), False, 0)
    assert whole.end("ended", "", Moment(1.04)) is None


def test_a_camera_that_is_taken_away_in_a_silence_has_a_gap_with_the_reason_of_its_end() -> None:
    for silent_s, is_told in ((2.0, False), (2.1, True)):  # longer than its `gap_s`, and no shorter
        account = camera(gap_s=2.0)
        account.gap_before(at(1.0), False, 0)
        gap = account.end("removed", "by the operator", at(1.0 + silent_s))
        assert (gap is not None) == is_told
        if gap is not None:
            assert (gap.reason, gap.why, gap.blind_s) == ("removed", "by the operator", pytest.approx(2.1))


def test_a_loss_before_the_end_names_the_last_gap_and_not_the_end() -> None:
    account = camera()
    account.gap_before(at(1.0), False, 0)
    account.lost("refused", "the port is closed")
    gap = account.end("removed", "by the operator", at(9.0))
    assert gap is not None
    assert (gap.reason, gap.why) == ("refused", "the port is closed")


def test_what_comes_after_an_end_is_told_anew() -> None:
    account = camera()
    account.lost("stalled", "")
    assert account.open_gap(50.0 + BLIND_S, 100.0 + BLIND_S) is not None
    account.end("removed", "", at(10.0))
    assert account.open_gap(60.0 + BLIND_S, 110.0 + BLIND_S) is not None


def test_a_recording_of_which_nothing_is_known_has_no_gap_and_a_short_one_has() -> None:
    for end_s, is_told in ((0.0, False), (0.5, True)):
        account = recording()
        account.lost("corrupt", "damaged frames")
        assert (account.end("", "", Moment(end_s)) is not None) == is_told


def test_a_hole_as_long_as_the_gap_is_none() -> None:
    account = camera(gap_s=2.0)
    account.gap_before(at(1.0), False, 0)
    account.delivered += 1
    assert account.gap_before(at(3.0), False, 0) is None
    assert account.gap_before(at(5.1), False, 0) is not None


def test_damage_is_told_with_how_much_there_was_since_the_last_good_frame() -> None:
    account = recording()
    assert account.gap_before(Moment(1.0), False, 0) is None
    gaps = [account.gap_before(Moment(second), False, errors) for second, errors in ((2.0, 2), (3.0, 2), (4.0, 3))]
    assert [gap and (gap.from_media_s, gap.reason, gap.why) for gap in gaps] == [
        (1.0, "corrupt", "2 damaged packets"),
        None,
        (3.0, "corrupt", "1 damaged packets"),
    ]
    first = recording().gap_before(Moment(1.0), False, 1)
    assert first is not None
    assert first.from_media_s == 0.0


def test_damaged_frames_say_so() -> None:
    account = recording()
    account.gap_before(Moment(1.0), True, 0)
    gap = account.gap_before(Moment(2.0), False, 0)
    assert gap is not None
    assert (gap.reason, gap.why) == ("corrupt", "damaged frames")


def test_time_without_a_cause_and_time_beside_a_recording_are_no_blindness() -> None:
    live, file = camera(), recording()
    live.gap_before(at(1.0), False, 0)
    assert live.snapshot(0, 90.0).blind_s == 0.0
    file.lost("corrupt", "")
    assert file.snapshot(0, 90.0).blind_s == 0.0


def test_a_snapshot_has_the_decoders_errors_and_both_sides_drops_by_reason() -> None:
    account = camera()
    account.decoder_counts(Counts(decoded=9, skipped=1, errors=3, ring_full=2, stale=1))
    account.drop("stale")
    account.drop("overwritten")
    coverage = account.snapshot(1, 0.0)
    assert (coverage.errors, coverage.pending) == (3, 1)
    assert list(coverage.dropped.items()) == [("overwritten", 1), ("ring_full", 2), ("stale", 2)]


def frames_of(account: CoverageAccount, frames: list[tuple[float, bool, int]]) -> list[object]:
    told = []
    for number, (media_s, corrupt, errors) in enumerate(frames):
        account.decoder_counts(Counts(decoded=10 * (number + 1), skipped=8 * (number + 1), errors=errors))
        told.append(account.gap_before(Moment(media_s), corrupt, errors))
        account.delivered += 1
        account.still += number % 2
    return told


@pytest.mark.parametrize("at_frame", range(1, 7))
def test_an_account_that_goes_on_from_any_frame_is_that_of_a_recording_read_at_once(at_frame: int) -> None:
    frames = [(1.0, False, 0), (2.0, True, 1), (3.0, True, 2), (4.0, False, 2), (5.0, False, 3), (6.0, True, 4),
              (7.0, False, 4)]  # fmt: skip
    whole, first = recording(), recording()
    told = frames_of(whole, frames)
    before = frames_of(first, frames[:at_frame])
    saved = first.of_recording(frames[at_frame - 1][0])
    assert saved.media_s == frames[at_frame - 1][0]
    second = CoverageAccount(False, 2.0, Moment(0.0), saved)
    after = []
    for number, (media_s, corrupt, errors) in list(enumerate(frames))[at_frame:]:
        second.decoder_counts(Counts(decoded=10 * (number + 1), skipped=8 * (number + 1), errors=errors))
        after.append(second.gap_before(Moment(media_s), corrupt, errors))
        second.delivered += 1
        second.still += number % 2
    assert before + after == told
    assert second.snapshot(0, 0.0) == whole.snapshot(0, 0.0)
    assert second.end("truncated", "is cut off", Moment(9.0)) == whole.end("truncated", "is cut off", Moment(9.0))
