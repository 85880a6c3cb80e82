"""The pose-error table's order: who places a face better, and that the table says what was measured."""

import numpy as np
import pytest

from benchmark.pose_errors import Row, face_model, interval, main, measure, scene, table
from models.face3d.alignment import PoseSwap
from models.face3d.camera import angle_between, smoothed
from models.face3d.fitting import fit


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return measure(face_model(), people=2, emotions=("angry", "happy"), yaws=(0, 45), seed=3)


def mean(rows: list[Row], voice: str, version: str, yaw: int) -> float:
    return float(np.mean([r.error for r in rows if (r.voice, r.version, r.yaw) == (voice, version, yaw)]))


def test_one_shape_for_both_beats_the_paper_which_beats_the_code_which_beats_a_similarity(rows) -> None:
    for yaw in (0, 45):
        order = [
            mean(rows, "same", version, yaw) for version in ("ours", "paper", "code", "similarity", "none")
        ]
        assert order == sorted(order)
    assert mean(rows, "same", "ours", 45) < 0.5 < 1.5 * mean(rows, "same", "paper", 45)
    assert mean(rows, "same", "similarity", 45) > 10


def test_a_voice_of_somebody_else_needs_the_targets_shape(rows) -> None:
    for yaw in (0, 45):
        own = mean(rows, "other", "target's shape", yaw)
        assert own < 1
        assert mean(rows, "other", "predicted shape", yaw) > 2 * own


def test_rotation_of_unseen_people_is_found_within_a_degree(rows) -> None:
    assert max(row.rotation_error for row in rows) < 1


def test_a_smoothed_pose_halves_the_rotation_error_and_quarters_the_jitter() -> None:
    """What `PoseSwap` says of 1.5 frames at half a pixel of noise, on natural head motion."""
    model = face_model()
    errors, jitters = [], []
    for person in ("a", "b", "c"):
        seen = scene(person, person, "happy", 15, np.random.default_rng(ord(person)), frames=75)
        for width in (0.0, 1.5):
            pose = smoothed(fit(model, seen.target).pose, width)
            errors.append(np.degrees(angle_between(pose.rotation, seen.rotation)).mean())
            shown = PoseSwap(pose_smoothing=width).align(seen.predicted, seen.target, model)
            jitters.append(np.linalg.norm(np.diff(shown - seen.truth, axis=0), axis=-1).mean())
    rough, smooth = np.reshape(errors, (3, 2)).mean(0)
    assert smooth < 0.65 * rough
    rough, smooth = np.reshape(jitters, (3, 2)).mean(0)
    assert smooth < 0.35 * rough


def test_the_interval_is_students() -> None:
    mean, half = interval([1.0, 2.0, 3.0])
    assert (mean, half) == (2.0, pytest.approx(4.302653 / np.sqrt(3)))
    assert np.isnan(interval([1.0])[1])


def test_the_table_averages_a_person_first() -> None:
    rows = [Row("same", p, e, 0, "v", error, 1.0) for p, e, error in ((0, "a", 1), (0, "b", 3), (1, "a", 4))]
    last = table(rows, "same").splitlines()[-1]
    assert last.startswith("| 0 | 3.00 ± 12.71 |")


def test_the_command_prints_both_tables_and_writes_every_row(tmp_path, capsys, monkeypatch) -> None:
    made = [Row(voice, 0, "happy", 15, "v", 1.5, 0.25) for voice in ("same", "other")]
    monkeypatch.setattr("benchmark.pose_errors.measure", lambda model, **asked: made)
    main(["--people", "1", "--out", str(tmp_path / "rows.csv")])
    assert capsys.readouterr().out.count("| 15 | 1.50") == 2
    written = (tmp_path / "rows.csv").read_text().splitlines()
    assert written == [
        "voice,person,emotion,yaw,version,error,rotation_error",
        "same,0,happy,15,v,1.5,0.25",
        "other,0,happy,15,v,1.5,0.25",
    ]
    assert main(["--people", "0"]) == 2


@pytest.mark.parametrize("yaw", [0, 45])
def test_without_noise_an_unseen_person_is_fitted_to_a_tenth(yaw: int) -> None:
    seen = scene("n0", "n0", "happy", yaw, np.random.default_rng(yaw), noise=0.0)
    found = fit(face_model(), seen.target, noise=0.01, iterations=10)
    assert np.degrees(angle_between(found.pose.rotation, seen.rotation)).max() < 0.1
    assert np.linalg.norm(found.landmarks() - seen.target, axis=-1).mean(1).max() < 0.1
