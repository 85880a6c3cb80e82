"""What a configuration may name: classes of declared kinds, and nothing else in any way of writing it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmark.config import instantiate
from benchmark.data.corpus import Corpus
from models import targets
from models.audio.aligners import LinearAligner
from models.audio.pairs import PairsStage
from models.errors import ConfigError
from models.method import Method, Stage
from models.targets import build, check_tree, class_named, configurable

DETECTOR = {"_target_": "models.preprocess.faces.Given"}
FOLDER: dict[str, Any] = {
    "_target_": "benchmark.data.folder.Folder",
    "root": "r",
    "cache": "c",
    "detector": DETECTOR,
}
NAMES = (
    # Other packages, whatever they have.
    "os.system",
    "builtins.eval",
    "builtins.exec",
    "builtins.open",
    "subprocess.Popen",
    "posix.system",
    "importlib.import_module",
    "pickle.loads",
    "torch.load",
    "torch.hub.load",
    "hydra.utils.call",
    "hydra.utils.get_method",
    "omegaconf.OmegaConf.load",
    "antigravity.fly",
    "this.s",
    "tests.faults.command_lines.Case",
    "sweeps.study.Sweep",
    "reports.load.Study",
    # Names that begin like ours.
    "benchmarks.x.Y",
    "benchmark_evil.x.Y",
    "modelsx.Y",
    # Functions, commands and modules of ours.
    "benchmark.conformance.child.load",
    "benchmark.run.main",
    "benchmark.score.__main__.main",
    "benchmark.pose_errors.main",
    "benchmark.data.corpus.split_corpus",
    "benchmark.transfer_truth.main",
    "models.talk.__main__.main",
    "models.talk.trained.build_of_run",
    "models.targets.build",
    "models.artefacts.load_arrays",
    "benchmark.data.folder",
    "benchmark.data",
    # Foreign objects that a module of ours has imported.
    "benchmark.results.subprocess.run",
    "benchmark.results.shutil.rmtree",
    "benchmark.config.re.compile",
    "models.targets.importlib.import_module",
    "benchmark.errors.signal.raise_signal",
    "benchmark.data.folder.Path",
    "models.method.nn.Module",
    "benchmark.workers.Connection",
    "benchmark.config.OmegaConf",
    # Classes of ours that are no corpora, and kinds that are no class.
    "benchmark.workers.Pool",
    "benchmark.conformance.runner.Subject",
    "benchmark.training.stage_cache.StageFolder",
    "models.audio.aligners.LinearAligner",
    "models.face3d.morphable.Face3DStage",
    "models.evp.EVP",
    "benchmark.data.corpus.Corpus",
    "benchmark.data.recordings.Recordings",
    "models.preprocess.faces.FaceDetector",
    # Another name of a class than its own; attributes of a class; private names.
    "benchmark.study.Folder",
    "benchmark.data.parametric.Corpus",
    "benchmark.data.folder.Folder.prepare",
    "benchmark.data.folder.Folder.__init__",
    "benchmark.data.folder.Folder.__class__",
    "benchmark.data.folder.__builtins__",
    "benchmark.data.grid._Part",
    "benchmark.data.folder.__loader__.load_module",
    # Names that are none.
    "",
    "Folder",
    ".",
    "benchmark.",
    ".benchmark.data.folder.Folder",
    "benchmark..data.folder.Folder",
    "benchmark.data.folder.Folder ",
    " benchmark.data.folder.Folder",
    "benchmark.data.folder.Folder\n",
    "benchmark.data.folder:Folder",
    "benchmark/data/folder.Folder",
    "benchmark.data.folder.Folder()",
    "benchmark.däta.folder.Folder",
    "benchmark.data.folder.\u0046older\u202e",
    "benchmark.data.folder.Folder\0",
    "benchmark." + "a." * 2000 + "B",
    None,
    3,
    True,
    ["benchmark.data.folder.Folder"],
    {"_target_": "benchmark.data.folder.Folder"},
)
TREES = (
    {**FOLDER, "_partial_": True},
    {**FOLDER, "_args_": [1]},
    {**FOLDER, "_convert_": "all"},
    {**FOLDER, "_recursive_": False},
    {**FOLDER, "__class__": "x"},
    {**FOLDER, "self": 1},
    {**FOLDER, 3: 1},
    {**FOLDER, "x": {"_target_": "os.system", "command": "true"}},
    {**FOLDER, "x": [{"_target_": "os.system"}]},
    {**FOLDER, "detector": {"_target_": "os.system", "command": "true"}},
    {**FOLDER, "detector": {"_target_": "models.audio.aligners.LinearAligner"}},
    {**FOLDER, "detector": FOLDER},
    {**FOLDER, "detector": {}},
    {**FOLDER, "detector": {**DETECTOR, "_partial_": True}},
    {**FOLDER, "detector": [DETECTOR]},
    {**FOLDER, "emotions": [DETECTOR]},
    {**FOLDER, "emotions": DETECTOR},
    {**FOLDER, "root": {"_target_": "models.preprocess.faces.Given"}},
    {**FOLDER, "frame_size": DETECTOR},
    {"root": "r"},
    {},
    [FOLDER],
    "benchmark.data.folder.Folder",
    None,
)


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:60])
def test_a_name_that_is_no_class_of_the_kind_is_refused(name: Any) -> None:
    before = set(sys.modules)
    with pytest.raises(ConfigError) as caught:
        check_tree({**FOLDER, "_target_": name}, "data", kinds=(Corpus,))
    message = str(caught.value)
    assert message.startswith("data._target_: ")
    assert "\n" not in message
    assert len(message) < 600
    # No module is imported but ours, and what ours import.
    fresh = {module.split(".")[0] for module in set(sys.modules) - before}
    assert not fresh & {"antigravity", "this", "benchmarks", "modelsx", "pdb"}


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: repr(tree)[-60:])
def test_a_tree_that_asks_for_more_is_refused_before_anything_is_built(
    tree: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "_built", lambda *given: pytest.fail("it was built"))
    with pytest.raises(ConfigError) as caught:
        instantiate(tree, "data", Corpus)
    message = str(caught.value)
    assert "data" in message
    assert "\n" not in message


def test_deep_trees_are_refused() -> None:
    tree: Any = "x"
    for _ in range(200):
        tree = [tree]
    with pytest.raises(ConfigError, match="expected"):
        check_tree({**FOLDER, "emotions": tree}, "data", kinds=(Corpus,))


def test_what_is_declared_is_built() -> None:
    aligner = {"_target_": "models.audio.aligners.LinearAligner"}
    stage = build({"_target_": "models.audio.pairs.PairsStage", "aligner": aligner}, "pairs", kinds=(Stage,))
    assert type(stage) is PairsStage
    assert type(stage.aligner) is LinearAligner
    assert class_named("models.evp.EVP", "method", kinds=(Method,)).__name__ == "EVP"
    check_tree(FOLDER, "data", kinds=(Corpus,))


def test_a_plugin_registers_its_package_and_its_own_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plugin_of_somebody.py").write_text(
        "from models.targets import configurable\n"
        "from models.method import Stage\n"
        "@configurable\nclass Kind: pass\n"
        "class One(Kind): pass\n"
        "class Other: pass\n"
        "class Mine(Stage):\n"
        "    def __init__(self, *, one: Kind): self.one = one\n"
        "    def run(self, data, inputs, run): pass\n"
        "import os\n"
    )
    (tmp_path / "plugin_that_fails.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(targets, "KINDS", list(targets.KINDS))
    name = "plugin_of_somebody"
    tree = {"_target_": f"{name}.Mine", "one": {"_target_": f"{name}.One"}}
    with pytest.raises(ConfigError, match="only classes of models, baselines, benchmark"):
        build(tree, "method.mine", kinds=(Stage,))
    assert name not in sys.modules
    monkeypatch.setattr(targets, "PACKAGES", (*targets.PACKAGES, name, "plugin_that_fails"))
    assert type(build(tree, "method.mine", kinds=(Stage,)).one).__name__ == "One"
    for other in (
        f"{name}.Other",
        f"{name}.os.system",
        f"{name}.os",
        f"{name}.configurable",
        f"{name}.Stage",
    ):
        with pytest.raises(ConfigError, match=r"^method\.mine\.one\._target_: "):
            build({**tree, "one": {"_target_": other}}, "method.mine", kinds=(Stage,))
    with pytest.raises(ConfigError, match="there is no plugin_that_fails"):
        class_named("plugin_that_fails.X", "method")
    assert configurable in vars(targets).values()
