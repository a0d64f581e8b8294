from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hoiclip.calibration import suggest_thresholds
from hoiclip.errors import InputError
from stream.run.calibration_file import CalibrationFile, calibrated, calibration_text
from stream.run.config import TrackerConfig
from stream.run.settings import load_run_config, tracker_settings


@pytest.fixture
def written(tmp_path: Path) -> Path:
    names = ['tap "x": y', "ride bicycle"]
    found = CalibrationFile(
        model="abc", enhancement=False, smoothing_s=0.5, frames=3, thresholds=dict.fromkeys(names, (0.4, 0.2))
    )
    suggestions = suggest_thresholds(names, np.zeros((3, 2), np.float32), [(0.4, 0.2)] * 2)
    path = tmp_path / "monday.yaml"
    path.write_text(calibration_text(found, suggestions, ["with the default thresholds: f1 0.9"]))
    return path


def test_the_thresholds_reach_the_tracker_and_the_configurations_own_win(written: Path) -> None:
    config = TrackerConfig(calibration=written, thresholds={"ride bicycle": (0.9, 0.8)}, gap_s=3.0)
    settings = tracker_settings(calibrated(config, "abc", enhancement=False))
    assert settings.thresholds_of('tap "x": y') == (0.4, 0.2)
    assert settings.thresholds_of("ride bicycle") == (0.9, 0.8)
    assert settings.gap_s == 3.0


@pytest.mark.parametrize(
    ("fingerprint", "enhancement", "message"),
    [("other", False, "made with model abc, this one is other"), ("abc", True, "made without the enhancement")],
)
def test_thresholds_of_other_scores_are_refused(
    written: Path, fingerprint: str, enhancement: bool, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        calibrated(TrackerConfig(calibration=written), fingerprint, enhancement=enhancement)


def test_a_mistake_in_the_file_is_named_with_its_line(written: Path) -> None:
    written.write_text(written.read_text().replace("[0.40, 0.20]", "[1.40, 0.20]", 1))
    with pytest.raises(InputError, match=r"monday\.yaml:\d+"):
        calibrated(TrackerConfig(calibration=written), "abc", enhancement=False)


def test_a_deployment_finds_the_file_beside_its_configuration(written: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    text = "model: demo\nsources: [{id: door, url: rtsp://127.0.0.1/x, tracker: {calibration: monday.yaml}}]\n"
    config.write_text(text)
    assert load_run_config(config).sources[0].tracker.calibration == written
    config.write_text(text.replace("monday", "tuesday"))
    with pytest.raises(InputError, match=r"`sources\.door\.tracker\.calibration`: tuesday\.yaml does not exist"):
        load_run_config(config)
