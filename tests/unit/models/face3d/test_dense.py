"""Face models cut out of meshes: an egg-shaped head with known modes, and ICT-FaceKit where it is at hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from models.artefacts import ArtefactError, save_arrays
from models.face3d import bfm
from models.face3d.camera import Pose, angle_between, project, rotation_from_angles
from models.face3d.dense import EYE_DISTANCE, BFMStage, ICTFaceKitStage, cut
from models.face3d.fitting import fit
from models.face3d.morphable import FIXED, FaceModel
from models.landmarks.topology import POINTS_68_IN_106

ICT = Path(__file__).parents[5] / "shared" / "data" / "ict-facekit"


@dataclasses.dataclass
class Mesh:
    """x right, y up, z towards the viewer, in centimetres."""

    vertices: np.ndarray
    landmarks: list[int]
    shapes: np.ndarray
    expressions: np.ndarray


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """An egg with a nose; landmarks are the vertices nearest to a generic face pressed onto it."""
    from tests.unit.models.face3d.conftest import generic_face

    grid = np.stack(np.meshgrid(np.linspace(-1.35, 1.35, 91), np.linspace(-1.2, 1.2, 81)), -1).reshape(-1, 2)
    x = 7.5 * np.sin(grid[:, 0]) * np.cos(grid[:, 1]) ** 0.5
    y = 11 * np.sin(grid[:, 1])
    z = 9 * np.cos(grid[:, 0]) * np.cos(grid[:, 1]) ** 0.5
    z += 2.5 * np.exp(-((x / 1.2) ** 2) - ((y - 0.5) / 2.0) ** 2)
    vertices = np.stack([x, y, z], -1)
    face = generic_face()[:, :2] * [1, -1] / 9.0
    landmarks = [int(np.linalg.norm(vertices[:, :2] - p, axis=1).argmin()) for p in face]
    rng = np.random.default_rng(0)
    waves = np.sin(vertices @ rng.normal(0, 0.25, (3, 5)) + rng.uniform(0, 6, 5)).T
    shapes = 0.15 * waves[:, :, None] * rng.normal(size=(5, 1, 3))
    jaw = np.zeros((1, len(vertices), 3))
    jaw[0, :, 1] = -0.8 / (1 + np.exp(2 * (y + 3.5)))
    return Mesh(vertices, landmarks, shapes, jaw)


def model_of(mesh: Mesh) -> FaceModel:
    return cut(mesh.vertices, mesh.landmarks, mesh.shapes, mesh.expressions, 5, 1)


def test_axes_and_units_are_those_of_the_model_space(mesh: Mesh) -> None:
    mean = model_of(mesh).mean
    eyes = mean[36:42].mean(0), mean[42:48].mean(0)
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(EYE_DISTANCE)
    assert eyes[0][0] < 0 < eyes[1][0]
    assert eyes[0][1] < mean[8, 1], "the chin is below the eyes, and y points down"
    assert mean[30, 2] > mean[36, 2], "the nose tip is nearer than an eye"
    np.testing.assert_allclose(mean[:68].mean(0), 0, atol=1e-9)


def test_the_cut_spans_what_the_mesh_model_does_to_its_landmarks(mesh: Mesh) -> None:
    model = model_of(mesh)
    scale = EYE_DISTANCE / np.linalg.norm(
        mesh.vertices[mesh.landmarks[36:42]].mean(0) - mesh.vertices[mesh.landmarks[42:48]].mean(0)
    )
    moved = mesh.shapes[:, mesh.landmarks] * [1, -1, 1] * scale
    covariance = np.einsum("kpi,kqj->piqj", moved, moved)
    ours = np.einsum("kpi,kqj->piqj", model.shapes[:, :68], model.shapes[:, :68])
    np.testing.assert_allclose(ours, covariance, atol=1e-4 * np.abs(covariance).max())


def test_contour_candidates_run_from_the_landmark_inwards(mesh: Mesh) -> None:
    model = model_of(mesh)
    across = model.mean[model.contours]
    np.testing.assert_array_equal(model.contours[:, 0], np.arange(17))
    assert (np.diff(np.abs(across[[0, 1, 2, 14, 15, 16], :, 0]), axis=1) < 0.5).all()
    assert (across[:, -1, 2] > across[:, 0, 2]).sum() >= 14, "cheeks are in front of the contour"


def outlines(mesh: Mesh, model: FaceModel, yaw: float, rng: np.random.Generator, frames: int = 30):
    """What a detector sees of a moving face: contour landmarks lie on the image's outline of the whole mesh.

    Independent of the model's candidates: the outermost vertex of the mesh near the ray from the middle of
    the face through the landmark's own image.
    """
    scale = np.abs(model.mean[42:48, 0].mean() - model.mean[36:42, 0].mean()) / np.abs(
        mesh.vertices[mesh.landmarks[42:48], 0].mean() - mesh.vertices[mesh.landmarks[36:42], 0].mean()
    )
    shape, mouth = rng.normal(size=5), np.abs(rng.normal(size=frames))
    roll = rng.normal(0, 0.1, frames)
    rotation = rotation_from_angles(
        np.radians(yaw) + np.linspace(-0.1, 0.1, frames), rng.normal(0, 0.05, frames), roll
    )
    base = mesh.vertices + np.tensordot(shape, mesh.shapes, 1)
    seen = np.empty((frames, 68, 2))
    for k in range(frames):
        points = (base + mouth[k] * mesh.expressions[0]) * [1, -1, 1] * scale
        image = points @ rotation[k, :2].T
        seen[k] = image[mesh.landmarks]
        level = points[mesh.landmarks[48:68], 1].mean()
        for i in range(17):
            start = points[mesh.landmarks[i]]
            away = start[:2] - [0, min(start[1], level)]
            c, s = np.cos(roll[k]), np.sin(roll[k])
            away = np.array([[c, -s], [s, c]]) @ away / np.linalg.norm(away)
            arms = image - seen[k, i]
            near = (np.abs(arms @ [-away[1], away[0]]) < 1.5) & (points[:, 2] > start[2] - 1)
            seen[k, i] += away * max(0.0, (arms @ away)[near].max())
    return seen + 128 + rng.normal(0, 0.5, seen.shape), rotation


@pytest.mark.parametrize("yaw", [-40, 40])
def test_a_moving_contour_helps_where_the_far_cheek_hides_the_landmark(mesh: Mesh, yaw: float) -> None:
    model = model_of(mesh)
    landmarks, rotation = outlines(mesh, model, yaw, np.random.default_rng(1))

    def error(used: FaceModel) -> float:
        found = fit(used, landmarks).pose.rotation
        return float(np.degrees(angle_between(found, rotation)).mean())

    marching = error(model)
    assert marching < 1.5
    assert error(dataclasses.replace(model, contours=FIXED)) > 2 * marching


def test_from_the_front_the_contour_is_where_it_is_on_the_face(mesh: Mesh) -> None:
    model = model_of(mesh)
    roll = rotation_from_angles(np.zeros(3), np.zeros(3), np.array([-0.5, 0, 0.5]))
    seen = model.seen(np.repeat(model.mean[None], 3, 0), roll)
    assert seen is not None
    reach = np.linalg.norm(model.mean[seen[:, :17], :2] - model.mean[:17, :2], axis=-1)
    assert np.median(reach) < 1.0


def test_noise_free_landmarks_of_a_cut_are_fitted_exactly(mesh: Mesh) -> None:
    model = dataclasses.replace(model_of(mesh), contours=FIXED)
    rng = np.random.default_rng(2)
    pose = Pose(
        rotation_from_angles(np.linspace(-0.7, 0.7, 30), np.zeros(30), np.zeros(30)),
        np.ones(30),
        np.full((30, 2), 128.0),
    )
    points = model.points(rng.normal(size=5), rng.normal(size=(30, 1)))
    landmarks = project(points[:, :68], pose)
    found = fit(model, landmarks, noise=0.01, iterations=10)
    assert np.degrees(angle_between(found.pose.rotation, pose.rotation)).max() < 0.1
    np.testing.assert_allclose(found.landmarks(), landmarks, atol=0.1)


def test_components_beyond_the_mesh_models_are_refused(mesh: Mesh) -> None:
    with pytest.raises(ValueError, match="1 to 5 shapes"):
        cut(mesh.vertices, mesh.landmarks, mesh.shapes, mesh.expressions, 6, 1)
    with pytest.raises(ValueError, match="1 to 1 expressions"):
        cut(mesh.vertices, mesh.landmarks, mesh.shapes, mesh.expressions, 5, 2)


def write_ict(folder: Path, mesh: Mesh, **changed: object) -> Path:
    arrays = {"neutral": mesh.vertices, "ident": mesh.shapes, "expr": mesh.expressions} | changed
    np.savez(folder / "ict_facekit.npz", **{k: v for k, v in arrays.items() if v is not None})  # type: ignore[arg-type]
    (folder / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": mesh.landmarks}))
    return folder


def test_ict_arrays_are_read_and_blend_shapes_scaled(tmp_path: Path, mesh: Mesh) -> None:
    path = str(write_ict(tmp_path, mesh))
    model = ICTFaceKitStage(path=path, shapes=5, expressions=1, expression_deviation=0.5).model()
    np.testing.assert_allclose(model.mean, model_of(mesh).mean)
    np.testing.assert_allclose(model.shapes, model_of(mesh).shapes, atol=1e-4)
    np.testing.assert_allclose(model.expressions, 0.5 * model_of(mesh).expressions, atol=1e-4)
    model.save(tmp_path)
    np.testing.assert_array_equal(FaceModel.load(tmp_path).contours, model.contours)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"neutral": np.zeros((4, 2))}, "neutral \\(v, 3\\)"),
        ({"expr": np.zeros((1, 5, 3))}, "expr \\(k, v, 3\\)"),
        ({"ident": None}, "ident"),
        ({"ident": np.array([{}], object)}, "pickle"),
        ({"neutral": np.zeros((7371, 3), np.int32)}, "floats|holds"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, mesh: Mesh, changed: dict, message: str) -> None:
    path = str(write_ict(tmp_path, mesh, **changed))
    with pytest.raises(ArtefactError, match=message):
        ICTFaceKitStage(path=path, shapes=5, expressions=1).model()


def test_missing_and_damaged_files_are_refused(tmp_path: Path, mesh: Mesh) -> None:
    stage = ICTFaceKitStage(path=str(tmp_path), shapes=5, expressions=1)
    with pytest.raises(ArtefactError, match=r"ict_facekit\.npz is missing"):
        stage.model()
    write_ict(tmp_path, mesh)
    for listed in ("[1]", '{"idx_to_landmark_verts": [1]}', '{"idx_to_landmark_verts": 1}', "{"):
        (tmp_path / "vertex_indices.json").write_text(listed)
        with pytest.raises(ArtefactError, match="idx_to_landmark_verts"):
            stage.model()
    (tmp_path / "vertex_indices.json").unlink()
    with pytest.raises(ArtefactError, match=r"vertex_indices\.json is missing"):
        stage.model()
    whole = (tmp_path / "ict_facekit.npz").read_bytes()
    (tmp_path / "ict_facekit.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtefactError, match="not ICT-FaceKit"):
        stage.model()


@pytest.mark.parametrize("stage", [ICTFaceKitStage, BFMStage])
def test_deviations_must_be_positive(stage) -> None:
    with pytest.raises(ValueError, match="positive"):
        stage(path="x", expression_deviation=0.0)


def test_the_papers_model_is_cut_at_its_own_vertices(
    tmp_path: Path, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The egg in the released layout, its vertices renumbered so that landmarks have BFM's numbers."""
    known = [bfm.LANDMARKS_106[k] for k in POINTS_68_IN_106]
    rest = np.setdiff1d(np.arange(bfm.VERTICES), known)[: len(mesh.vertices)]

    def renumbered(values: np.ndarray) -> np.ndarray:
        out = np.zeros((*values.shape[:-2], bfm.VERTICES, 3), np.float32)
        out[..., 1] = -1e4  # far from everything
        out[..., rest, :] = values
        out[..., known, :] = values[..., mesh.landmarks, :]
        return out

    monkeypatch.setattr(bfm, "SHAPES", 5)
    monkeypatch.setattr(bfm, "EXPRESSIONS", 1)
    columns = np.concatenate([renumbered(mesh.shapes), renumbered(mesh.expressions)])
    weight = np.moveaxis(columns.swapaxes(1, 2), 0, 2)
    save_arrays(tmp_path / "bfm.safetensors", {"base": renumbered(mesh.vertices).T, "weight": weight})
    stage = BFMStage(path=str(tmp_path / "bfm.safetensors"), shapes=5, expressions=1, shape_deviation=2.0)
    found, expected = stage.model(), model_of(mesh)
    np.testing.assert_allclose(found.mean[:68], expected.mean[:68], atol=1e-3)
    np.testing.assert_allclose(found.shapes[:, :68], 2 * expected.shapes[:, :68], atol=2e-2)


@pytest.mark.skipif(not ICT.is_dir(), reason=f"no ICT-FaceKit at {ICT}")
def test_ict_facekit_fits_the_embedded_corpus_head() -> None:
    """Another artist's head, another model's prior: the pose is still found within a few degrees."""
    from benchmark.pose_errors import scene

    model = ICTFaceKitStage(path=str(ICT)).model()
    assert model.mean[30, 2] > model.mean[36, 2] > model.mean[0, 2]
    for yaw in (0, 30):
        seen = scene("A", "A", "neutral", yaw, np.random.default_rng(yaw), frames=25)
        found = fit(model, seen.target)
        relative = found.pose.rotation @ np.swapaxes(seen.rotation, 1, 2)
        spread = np.degrees(angle_between(relative, np.broadcast_to(relative[12], relative.shape)))
        assert spread.mean() < 1.5, "what is constant is how the two artists' heads look ahead"
        assert np.linalg.norm(found.landmarks() - seen.target, axis=-1).mean() < 1.5
