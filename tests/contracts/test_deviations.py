"""The list of deviations: every open question is there, answered as the presets do; the page is in step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from benchmark.config import parse
from benchmark.deviations import DEVIATIONS, PRESETS, as_records, main, page, preset, value

ROOT = Path(__file__).resolve().parents[2]
PAPER_AND_CODE = {
    "learning rate": "learning_rate",
    "reconstruction norm": "reconstruction_distance",
    "self-reconstruction": "self_reconstruction",
    "content loss": "content_pairs",
    "classification": "classified",
    "size of f_a": "identity_size",
    "head": "head",
    "l_a": "identity",
    "encoders with the landmarks": "fine_tune",
    "pose": "pose",
    "renderer losses": "renderer_loss",
    "DTW": "dtw",
}
"""Where the paper and its release are known to part."""
AMBIGUITIES = {
    1: "landmark_metrics",
    2: "psnr",
    3: "sampling",
    4: "reconstruction_weights",
    5: "learning_rate",
    6: "held_out",
    7: "fine_tune",
    8: "identity",
    9: "pose",
    10: "crop_template",
    11: "landmark_layout",
    12: "renderer_loss",
    13: "selection",
    14: "dtw_energy",
    15: "window_count",
}
"""The fifteen questions whose answer decides a number."""
KEYED = [entry for entry in DEVIATIONS if entry.key]
every_entry = pytest.mark.parametrize("entry", KEYED, ids=lambda entry: entry.name)


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, each in tree.items():
            yield from leaves(each, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree


def test_every_known_question_is_answered() -> None:
    names = [entry.name for entry in DEVIATIONS]
    assert len(set(names)) == len(names)
    assert set(PAPER_AND_CODE.values()) | set(AMBIGUITIES.values()) <= set(names)


@pytest.mark.parametrize("scale", ["paper", "small", "tiny"])
@every_entry
def test_paper_and_code_differ_where_they_are_said_to_and_nowhere_else(entry, scale: str) -> None:
    for key in (entry.key, *entry.also, *filter(None, [entry.shown])):
        paper, code, _ = (value(key, name, scale) for name in PRESETS)
        assert (paper != code) == (entry.between == "differ"), key


@pytest.mark.parametrize("scale", ["paper", "small"])
def test_every_difference_of_the_presets_is_listed(scale: str) -> None:
    trees = []
    for name in PRESETS:
        cfg = preset(name, scale)
        groups = [key for key in cfg if key not in ("hydra", "scale")]
        trees.append(
            dict(
                leaves(
                    {
                        key: OmegaConf.to_container(cfg[key], resolve=False)
                        for key in groups
                        if OmegaConf.is_config(cfg[key])
                    }
                )
            )
        )
    different = {
        key for key in set().union(*trees) if len({repr(tree.get(key, "missing")) for tree in trees}) > 1
    } - {"method.label"}
    listed = [key for entry in DEVIATIONS for key in (entry.key, *entry.also) if key]
    unlisted = {key for key in different if not any(f"{key}.".startswith(f"{known}.") for known in listed)}
    assert different
    assert not unlisted


@pytest.mark.parametrize("name", PRESETS)
@every_entry
def test_every_key_is_one_of_the_preset(entry, name: str) -> None:
    value(entry.key, name)


def test_the_learning_rates_are_a_factor_of_two_apart_at_every_scale() -> None:
    for scale in ("paper", "small", "tiny"):
        for stage in ("emotion_classifier", "disentangle", "landmarks", "renderer"):
            paper, code, ours = (value(f"method.{stage}.learning_rate", name, scale) for name in PRESETS)
            assert code == pytest.approx(2 * paper)
            assert ours == code
    assert value("method.landmarks.learning_rate", "paper", "paper") == 1e-4
    for name in PRESETS:
        small, full = (value("method.landmarks.learning_rate", name, s) for s in ("small", "paper"))
        assert small == pytest.approx(5 * full)


@every_entry
def test_a_key_can_be_set_on_the_command_line(entry) -> None:
    """What the paper does can be asked of our preset, key by key."""
    wanted = value(entry.key, "paper")
    if isinstance(wanted, dict):
        texts = [f"{entry.key}.{name}={weight}" for name, weight in wanted.items()]
    else:
        texts = [f"{entry.key}={json.dumps(wanted)}"]
    found = OmegaConf.select(parse(["scale=paper"]).compose("method=evp", *texts), entry.key)
    assert (OmegaConf.to_container(found) if OmegaConf.is_config(found) else found) == wanted


def test_every_entry_gives_reason_and_source() -> None:
    for entry in DEVIATIONS:
        assert entry.question
        assert entry.reason.endswith(".")
        assert entry.source
        assert entry.key or entry.ours, "without a key, words have to say what we do"


def test_the_page_is_in_step() -> None:
    written = (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8")
    assert written == page(), "run python -m benchmark.deviations --page docs/deviations.md"
    for entry in DEVIATIONS:
        assert entry.question in written


def test_the_list_is_printed_as_json_or_written_as_a_page(capsys, tmp_path) -> None:
    assert main([]) == 0
    records = json.loads(capsys.readouterr().out)
    assert records == as_records()
    rate = next(record for record in records if record["name"] == "learning_rate")
    assert (rate["paper"], rate["code"], rate["ours"]) == (1e-4, 2e-4, 2e-4)
    assert main(["--page", str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page()
    (tmp_path / "file").touch()
    assert main(["--page", str(tmp_path / "file" / "page.md")]) == 2
    assert "expected a folder" in capsys.readouterr().err
