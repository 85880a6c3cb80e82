"""The parametric head: geometry, landmarks, motion, camera and pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmark.data.synthetic import face, head_curves, motion
from benchmark.data.synthetic.face import EXPRESSIONS, HEAD, identity, landmarks3d, project, vertices
from benchmark.data.synthetic.head_surface import parameters_of
from benchmark.data.synthetic.network import PHONES
from benchmark.data.synthetic.render import Renderer
from benchmark.data.synthetic.visemes import MISAKI, SAMPA_GERMAN, VISEMES, misaki_viseme, sampa_viseme
from models.landmarks.topology import EVP106, IBUG68
from models.types import MEAD_EMOTIONS
from tests.conftest import SHARED_DATA

REST = np.zeros((1, len(EXPRESSIONS)), np.float32)
FACING = np.zeros((1, 6), np.float32)


def one(**coefficients: float) -> np.ndarray:
    expression = REST.copy()
    for name, value in coefficients.items():
        expression[0, EXPRESSIONS.index(name)] = value
    return expression


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- visemes


def test_every_phone_of_the_speech_has_a_viseme() -> None:
    assert {misaki_viseme(phone) for phone in PHONES} <= set(VISEMES)
    assert set(MISAKI.values()) | set(SAMPA_GERMAN.values()) <= set(VISEMES)


def test_closures_releases_and_marks_look_like_their_sound() -> None:
    assert sampa_viseme("p") == sampa_viseme("!p") == sampa_viseme("_p") == sampa_viseme("pasp") == "p"
    assert sampa_viseme("m+sil") == "p"
    assert sampa_viseme("-sth", previous="s") == "s"
    assert sampa_viseme("tasp") == "t"
    assert sampa_viseme("") == sampa_viseme(".") == "sil"


@pytest.mark.parametrize("convert", [misaki_viseme, sampa_viseme])
def test_an_unknown_symbol_is_named(convert) -> None:
    with pytest.raises(ValueError, match=r"unknown phone.*'%'"):
        convert("%")


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="no recordings at ../shared/data")
def test_all_emodb_labels_are_known() -> None:
    for path in sorted((SHARED_DATA / "emodb" / "lablaut").glob("*.lablaut")):
        body = path.read_text(encoding="latin-1").split("#\n", 1)[1]
        previous = "sil"
        for line in filter(str.strip, body.splitlines()):
            fields = line.split(None, 2)
            previous = sampa_viseme(fields[2].split()[0] if len(fields) > 2 else "", previous)


# --- identity and geometry


def test_a_name_always_gives_the_same_person_and_names_differ() -> None:
    assert identity("F01") == identity("F01")
    people = [identity(name) for name in ("F01", "F02", "M01", "M02", "03", "Actor_11", "s1")]
    shapes = np.array([person.shape for person in people])
    distance = np.linalg.norm(shapes[:, None] - shapes[None], axis=-1) + 100 * np.eye(len(people))
    assert distance.min() > 2.0
    with pytest.raises(ValueError, match="speaker's name"):
        identity("")


def test_the_head_is_symmetric() -> None:
    rest, mirror = HEAD.rest, HEAD.mirror
    np.testing.assert_allclose(rest[mirror] * (-1, 1, 1), rest, atol=1e-9)
    edges = {tuple(sorted(edge)) for tri in HEAD.triangles for edge in (tri[:2], tri[1:], tri[::2])}
    skin = HEAD.part == 0
    flipped = {tuple(sorted((mirror[a], mirror[b]))) for a, b in edges if skin[a] and skin[b]}
    assert flipped == {edge for edge in edges if skin[edge[0]] and skin[edge[1]]}


@pytest.mark.parametrize("name", [n for n in EXPRESSIONS if n[-2:] not in ("_l", "_r")])
def test_two_sided_expressions_are_symmetric(name: str) -> None:
    person = identity("M01")
    points = landmarks3d(person, one(**{name: 1.0}))[0]
    flipped = points[list(IBUG68.mirror)]
    np.testing.assert_allclose(256 - flipped[:, 0], points[:, 0], atol=1e-3)
    np.testing.assert_allclose(flipped[:, 1:], points[:, 1:], atol=1e-3)


def test_one_sided_expressions_mirror_each_other() -> None:
    left, right = (vertices(identity("M01"), one(**{name: 1.0}))[0] for name in ("dimple_l", "dimple_r"))
    np.testing.assert_allclose(left[HEAD.mirror][:, 1], right[:, 1], atol=1e-3)


def test_landmarks_are_linear_in_expression() -> None:
    person, draw = identity("F02"), rng()
    a, b = draw.random((2, 5, len(EXPRESSIONS))).astype(np.float32)
    rest = landmarks3d(person, np.zeros_like(a))
    mixed = landmarks3d(person, 0.25 * a + 0.5 * b) - rest
    expected = 0.25 * (landmarks3d(person, a) - rest) + 0.5 * (landmarks3d(person, b) - rest)
    np.testing.assert_allclose(mixed, expected, atol=2e-4)


@pytest.mark.parametrize("layout", [68, 106])
def test_landmarks_are_vertices(layout: int) -> None:
    person, expression = identity("F01"), one(jaw_open=0.5, corner_pull=0.7)
    expected = vertices(person, expression)[:, face.landmark_vertices(layout)]
    np.testing.assert_allclose(landmarks3d(person, expression, layout), expected, atol=1e-3)


def test_the_106_points_hold_the_68() -> None:
    expression = rng().random((3, len(EXPRESSIONS))).astype(np.float32)
    points = landmarks3d(identity("F01"), expression, 106)
    kept = [*range(0, 33, 2), *range(33, 52), *range(52, 64), *range(84, 104)]
    np.testing.assert_array_equal(points[:, kept], landmarks3d(identity("F01"), expression))
    pupils = points[:, 104:106]
    np.testing.assert_array_equal(pupils, points[:, [74, 77]])


def test_landmark_order_is_ibug() -> None:
    points = landmarks3d(identity("M01"), REST)[0]
    assert points[0, 0] < points[16, 0]
    assert points[8, 1] == points[:, 1].max()
    assert (np.diff(points[17:27, 0]) > 0).all()
    assert (np.diff(points[27:31, 1]) > 0).all()
    assert points[30, 2] == points[:, 2].max()
    assert points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]
    assert (points[[37, 38, 43, 44], 1] < points[[41, 40, 47, 46], 1]).all()
    assert points[48, 0] < points[51, 0] < points[54, 0]
    assert points[51, 1] < points[62, 1] <= points[66, 1] < points[57, 1]
    evp = landmarks3d(identity("M01"), REST, 106)[0]
    assert (evp[64:72, 1] > evp[34:42, 1]).all()


def test_106_points_mirror_as_the_layout_says() -> None:
    points = landmarks3d(identity("M01"), REST, 106)[0]
    np.testing.assert_allclose(points[list(EVP106.mirror)] * (-1, 1, 1) + (256, 0, 0), points, atol=1e-3)


def test_errors_say_what_was_expected() -> None:
    with pytest.raises(ValueError, match="68 or 106"):
        landmarks3d(identity("F01"), REST, 98)
    with pytest.raises(ValueError, match=r"expected expression coefficients \(T, "):
        vertices(identity("F01"), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="finite"):
        vertices(identity("F01"), REST * np.nan)
    with pytest.raises(ValueError, match="no skin faces the viewer"):
        parameters_of(np.array([[140.0, 0.0]]))


# --- camera


def test_project_is_the_weak_perspective_formula() -> None:
    points = landmarks3d(identity("F01"), REST)
    pose = np.array([[0.3, -0.1, 0.05, 4.0, -2.0, 0.1]])
    yaw, pitch, roll, tx, ty, log_scale = pose[0]
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    moved = np.exp(log_scale) * (tilt @ turn @ nod @ (points[0] - face.PIVOT).T).T + face.PIVOT
    np.testing.assert_allclose(project(points, pose)[0], moved[:, :2] + (tx, ty), atol=1e-3)


def test_turning_and_turning_back_is_the_identity() -> None:
    points = landmarks3d(identity("F01"), REST)
    for axis in range(3):
        pose = np.zeros((1, 6))
        pose[0, axis] = 0.2
        np.testing.assert_allclose(face.posed(face.posed(points, pose), -pose), points, atol=1e-3)


def test_signs_of_the_pose() -> None:
    def nose(**turned: float) -> np.ndarray:
        return project(landmarks3d(identity("F01"), REST), _pose(**turned))[0, 30]

    assert nose(yaw=0.1)[0] > nose()[0]
    assert nose(pitch=0.1)[1] > nose()[1]
    assert nose(roll=0.1)[0] > nose()[0]


def _pose(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    return np.array([[yaw, pitch, roll, 0, 0, 0]], np.float32)


def test_project_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"poses \(T, 6\)"):
        project(np.zeros((1, 4, 3)), np.zeros((1, 5)))
    with pytest.raises(ValueError, match=r"points \(T, P, 3\)"):
        project(np.zeros((2, 4, 3)), np.zeros((1, 6)))


# --- motion

WORDS = [("sil", 0, 0.2), ("p", 0.2, 0.28), ("aa", 0.28, 0.45), ("f", 0.45, 0.55), ("uw", 0.55, 0.7),
         ("p", 0.7, 0.73), ("ay", 0.73, 1.0), ("sil", 1.0, 1.2)]  # fmt: skip
FRAMES = 30
ENERGY = np.full(FRAMES, 0.6)


def gaps(person: face.Identity, expression: np.ndarray) -> np.ndarray:
    points = landmarks3d(person, expression)
    return np.linalg.norm(points[:, [67, 66, 65], :2] - points[:, [61, 62, 63], :2], axis=-1)


@pytest.mark.parametrize("emotion", MEAD_EMOTIONS)
def test_bilabials_close_the_lips_in_every_emotion(emotion: str) -> None:
    for level in (1, 2, 3):
        spoken = motion.perform(WORDS, ENERGY, emotion, level, rng(level))
        for person in map(identity, ("F01", "M01", "F02", "M02")):
            closed = gaps(person, spoken)[[int(0.24 * 25), int(0.715 * 25)]]
            assert closed.max() < 1.0
        assert gaps(identity("M01"), spoken)[int(0.36 * 25)].mean() > 3.0


def test_labiodentals_bring_the_lower_lip_to_the_teeth() -> None:
    speech = motion.combine(
        motion.articulate(WORDS, FRAMES),
        np.zeros((FRAMES, len(EXPRESSIONS))),
        np.zeros((FRAMES, len(EXPRESSIONS))),
    )
    lip = landmarks3d(identity("M01"), speech)[12, 66]
    teeth = vertices(identity("M01"), speech)[12, HEAD.named["teeth_upper"]]
    edge = teeth[np.argmin(np.abs(teeth[:, 0] - 128) + 0.01 * (teeth[:, 1].max() - teeth[:, 1]))]
    assert lip[1] - edge[1] < 2.5
    assert gaps(identity("M01"), speech)[12].mean() < 0.4 * gaps(identity("M01"), speech)[9].mean()


def test_rounding_narrows_and_spreading_widens_the_mouth() -> None:
    def width(viseme: str) -> float:
        speech = motion.articulate([(viseme, 0.0, 0.4)], 10)
        points = landmarks3d(identity("F01"), speech)[5]
        return float(points[54, 0] - points[48, 0])

    assert width("uw") + 4 < width("aa") < width("ih")


def test_articulation_follows_the_words() -> None:
    early = motion.articulate([("sil", 0, 0.3), ("aa", 0.3, 0.6), ("sil", 0.6, 1.2)], 30)
    late = motion.articulate([("sil", 0, 0.7), ("aa", 0.7, 1.0), ("sil", 1.0, 1.2)], 30)
    jaw = EXPRESSIONS.index("jaw_open")
    np.testing.assert_allclose(early[2:18, jaw], late[12:28, jaw], atol=0.02)


@pytest.mark.parametrize("emotion", MEAD_EMOTIONS)
def test_emotion_grows_with_intensity(emotion: str) -> None:
    size = [np.linalg.norm(motion.emote(emotion, k, ENERGY, rng(1))[10:].mean(0)) for k in (1, 2, 3)]
    if emotion == "neutral":
        assert max(size) < 0.35
    else:
        assert size[0] < size[1] < size[2]


def test_emotion_shows_while_speaking() -> None:
    rest = motion.perform(WORDS, ENERGY, "neutral", 1, rng(2))
    smile = motion.perform(WORDS, ENERGY, "happy", 3, rng(2))
    frown = motion.perform(WORDS, ENERGY, "sad", 3, rng(2))
    corner = [landmarks3d(identity("F01"), e)[8:24, [48, 54], 1].mean() for e in (smile, rest, frown)]
    assert corner[0] + 2 < corner[1] < corner[2] - 1
    assert motion.vigour("angry", 3) > 1 > motion.vigour("sad", 3)


def test_motion_is_repeatable_and_takes_differ() -> None:
    for make in (
        lambda r: motion.emote("happy", 2, ENERGY, r),
        lambda r: motion.head_motion(FRAMES, r, "happy"),
        lambda r: motion.blink(200, r),
    ):
        np.testing.assert_array_equal(make(rng(3)), make(rng(3)))
        assert np.abs(make(rng(3)) - make(rng(4))).max() > 1e-3


def test_head_motion_stays_natural() -> None:
    for seed, emotion in enumerate(MEAD_EMOTIONS):
        pose = np.rad2deg(motion.head_motion(400, rng(seed), emotion)[:, :3])
        assert (np.abs(pose).max(0) <= (10, 6, 4)).all()
        assert np.abs(np.diff(pose, axis=0)).max() < 2.5


def test_motion_errors() -> None:
    with pytest.raises(ValueError, match="unknown viseme 'q'"):
        motion.articulate([("q", 0, 1)], 5)
    with pytest.raises(ValueError, match="before it starts"):
        motion.articulate([("aa", 1, 0)], 5)
    with pytest.raises(ValueError, match="unknown emotion 'bored'"):
        motion.emote("bored", 1, ENERGY, rng())
    with pytest.raises(ValueError, match="intensity 1, 2 or 3"):
        motion.emote("happy", 4, ENERGY, rng())
    with pytest.raises(ValueError, match="energy"):
        motion.emote("happy", 1, ENERGY * 3, rng())
    with pytest.raises(ValueError, match="at least one frame"):
        motion.blink(0, rng())
    with pytest.raises(ValueError, match="one shape"):
        motion.combine(
            np.zeros((2, len(EXPRESSIONS))), np.zeros((3, len(EXPRESSIONS))), np.zeros((2, len(EXPRESSIONS)))
        )


def test_a_blink_closes_the_eye() -> None:
    points = landmarks3d(identity("F01"), one(blink_l=1.0, blink_r=1.0))[0]
    opening = points[[41, 40, 47, 46], 1] - points[[37, 38, 43, 44], 1]
    assert (opening < 1.0).all()


# --- pictures


def test_rendering_is_repeatable() -> None:
    expression = motion.perform(WORDS, ENERGY, "happy", 3, rng())[::10]
    pose = motion.head_motion(FRAMES, rng(), "happy")[::10]
    first = Renderer(128).render(identity("F01"), expression, pose)
    again = Renderer(128).render(identity("F01"), expression[1:2], pose[1:2])
    assert first.shape == (3, 128, 128, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, Renderer(128).render(identity("F01"), expression, pose))
    np.testing.assert_array_equal(first[1], again[0])


def test_the_background_stands_still_and_has_edges() -> None:
    pose = motion.head_motion(FRAMES, rng(5))[::6]
    frames = Renderer(128).render(identity("M02"), np.zeros((len(pose), len(EXPRESSIONS))), pose)
    corner = frames[:, :40, :14].astype(int), frames[:, :40, -14:].astype(int)
    assert all(np.ptp(part, axis=0).max() == 0 for part in corner)
    edges = cv2.Canny(frames[0], 26, 51)
    assert (edges[:, :24] > 0).sum() + (edges[:, -24:] > 0).sum() > 40


@pytest.mark.parametrize("name", ["F01", "M02", "F02"])
def test_painted_lips_lie_between_their_landmarks(name: str) -> None:
    """The lips' colour, found in the picture alone, ends where the outer lip landmarks stand."""
    person, expression = identity(name), one(jaw_open=0.15, lips_part=0.3)
    points = project(landmarks3d(person, expression), FACING)[0]
    picture = Renderer(256).render(person, expression, FACING)[0].astype(float)
    redness = np.log(picture[..., 0] + 8) - np.log(picture[..., 1] + 8)
    x0, x1, y0, y1 = (
        int(v) for v in (points[48, 0] - 8, points[54, 0] + 8, points[51, 1] - 8, points[57, 1] + 8)
    )
    box = redness[y0:y1, x0:x1]
    threshold = 0.5 * (np.median(box[:4]) + np.percentile(box, 92))
    rows, columns = np.nonzero(box > threshold)
    middle = np.abs(columns + x0 - 128) < 10
    assert abs(rows[middle].min() + y0 - points[[50, 51, 52], 1].mean()) < 2.0
    assert abs(rows[middle].max() + 1 + y0 - points[57, 1]) < 2.0
    assert abs(columns.min() + x0 - points[48, 0]) < 2.5
    assert abs(columns.max() + 1 + x0 - points[54, 0]) < 2.5


def test_the_pupil_is_drawn_at_its_landmark() -> None:
    person = identity("M02")
    pupils = project(landmarks3d(person, REST, 106), FACING)[0, 104:106]
    picture = Renderer(256).render(person, REST, FACING)[0].astype(float).mean(-1)
    for x, y in pupils:
        row, column = int(y), int(x)
        patch = picture[row - 5 : row + 6, column - 5 : column + 6]
        weight = np.clip(np.percentile(patch, 25) - patch, 0, None)
        grid = np.arange(-5, 6) + 0.5
        assert abs((weight.sum(0) * grid).sum() / weight.sum() + column - x) < 1.5
        assert abs((weight.sum(1) * grid).sum() / weight.sum() + row - y) < 2.0


def test_renderer_errors() -> None:
    with pytest.raises(ValueError, match="between 32 and 1024"):
        Renderer(8)
    with pytest.raises(ValueError, match=r"poses \(1, 6\)"):
        Renderer(64).render(identity("F01"), REST, np.zeros((2, 6)))


def test_curves_have_the_documented_proportions() -> None:
    points = landmarks3d(face.identity("F01"), REST, 106)[0]
    assert head_curves.PUPIL[0] * 2 == pytest.approx(63)
    assert points[105, 0] - points[104, 0] == pytest.approx(63 * face.PIXELS_PER_MM, abs=6)
