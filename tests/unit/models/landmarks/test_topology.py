import numpy as np
import pytest

from models.landmarks.topology import EVP106, FROM_68, IBUG68, POINTS_68_IN_106, layout_of, to_68, to_106

LAYOUTS = [IBUG68, EVP106]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_mirroring_twice_is_the_identity_and_swaps_the_eyes(layout):
    mirror = np.array(layout.mirror)
    np.testing.assert_array_equal(mirror[mirror], np.arange(layout.num_points))
    assert {layout.mirror[i] for i in layout.eye_a} == set(layout.eye_b)
    assert layout.mirror[layout.nose_tip] == layout.nose_tip
    for name in layout.regions:
        assert {layout.mirror[i] for i in layout.regions[name]} == set(layout.regions[name])


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_there_are_fourteen_strokes_and_lips_and_eyes_close(layout):
    assert len(layout.strokes) == 14
    for upper, lower in ((6, 7), (8, 9), (10, 11), (12, 13)):
        assert layout.strokes[upper][-1] == layout.strokes[lower][0]
        assert layout.strokes[lower][-1] == layout.strokes[upper][0]
    drawn = [set(stroke) for stroke in layout.strokes]
    assert drawn[6] | drawn[7] == set(layout.eye_a)
    assert drawn[8] | drawn[9] == set(layout.eye_b)
    assert drawn[10] | drawn[11] == set(layout.regions["outer_mouth"])
    assert drawn[12] | drawn[13] == set(layout.regions["inner_mouth"])
    assert drawn[0] == set(layout.regions["contour"])


def test_the_68_points_are_among_the_106():
    face = np.random.default_rng(0).normal(size=(3, 68, 2)).astype(np.float32)
    expanded = to_106(face)
    np.testing.assert_array_equal(to_68(expanded), face)
    np.testing.assert_array_equal(expanded[:, list(POINTS_68_IN_106)], face)
    for part in ("mouth", "outer_mouth", "inner_mouth"):
        matching = np.array(POINTS_68_IN_106)[IBUG68.region(part)]
        np.testing.assert_array_equal(matching, EVP106.region(part))
    assert POINTS_68_IN_106[IBUG68.nose_tip] == EVP106.nose_tip
    assert tuple(POINTS_68_IN_106[i] for i in IBUG68.outer_brows) == EVP106.outer_brows


def test_the_expansion_moves_with_the_face_and_mirrors_with_it():
    np.testing.assert_allclose(FROM_68.sum(1), 1, atol=1e-6)
    mirrored = FROM_68[list(EVP106.mirror)][:, list(IBUG68.mirror)]
    np.testing.assert_allclose(mirrored, FROM_68, atol=1e-6)


def test_unknown_layouts_and_regions_are_refused():
    with pytest.raises(ValueError, match="68 or 106"):
        layout_of(np.zeros((5, 70, 2)))
    with pytest.raises(ValueError, match="mouth"):
        IBUG68.region("ear")
