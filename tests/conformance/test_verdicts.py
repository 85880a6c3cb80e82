"""The kit's words for planted defects, for other people's implementations, and for this project's own."""

from __future__ import annotations

import pytest

from benchmark.conformance.check import KINDS, check
from tests.conformance.cases import FOLDER, FRAMES, OURS, PLAIN, PLANTED, SOUND, THIRD_PARTY, Case


def by_id(cases: tuple[Case, ...]) -> list:
    return [pytest.param(case, id=case.id) for case in cases]


@pytest.mark.parametrize("case", by_id(PLANTED))
def test_a_planted_defect_is_named(case: Case) -> None:
    verdict = case.verdict()
    assert not verdict.passed
    assert all(word in verdict.sentence for word in case.words), verdict.sentence


@pytest.mark.parametrize("case", by_id(THIRD_PARTY))
def test_an_implementation_of_others_passes_or_is_told_in_what_it_differs(case: Case) -> None:
    if not case.can_run:
        pytest.skip(f"{case.needs} is not installed")
    verdict = case.verdict()
    assert verdict.passed, verdict.sentence
    assert all(word in verdict.sentence for word in case.words), verdict.sentence


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("case", by_id((*PLAIN, *FRAMES, *OURS)))
def test_a_sound_function_passes_under_every_seed(case: Case, seed: int) -> None:
    verdict = case.verdict(seed)
    assert verdict.passed, verdict.sentence
    assert all(word in verdict.sentence for word in case.words), verdict.sentence


def test_every_kind_has_defects_and_sound_functions() -> None:
    assert {case.kind for case in PLANTED} == {case.kind for case in OURS} == set(KINDS)
    assert len(PLANTED) >= 15  # four published ones, and eleven more
    assert {case.needs for case in THIRD_PARTY} >= {
        "skimage", "piq", "torchmetrics", "pytorch_msssim", "torch_fidelity",
    }  # fmt: skip


def test_every_file_of_functions_is_tried() -> None:
    files = {f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("[ps]*/*.py")}
    assert files == {case.file for case in (*PLANTED, *SOUND)}


def test_a_face_metric_that_measures_the_mouth_fails_by_its_region() -> None:
    place = f"{FOLDER / 'sound/plain.py'}:lmd_eat"
    assert check(place, "ld", region="mouth").passed
    verdict = check(place, "ld", region="face")
    assert not verdict.passed
    assert "the face score repeats the mouth score, as in flvd/eat" in verdict.sentence
