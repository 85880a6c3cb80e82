"""The command line: what is refused, and in which words."""

from __future__ import annotations

import pytest

from benchmark.config import Settings, load, parse, plain_name
from benchmark.data.corpus import Corpus
from benchmark.errors import ConfigError, one_line
from models.targets import build, check_tree


def settings(tmp_path, *arguments: str) -> Settings:
    return load([f"out={tmp_path}/results", f"cache={tmp_path}/cache", *arguments])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("sedes=[1]", "no configuration key 'sedes'; did you mean seeds?"),
        ("metrics.resample=3", "'metrics.resample'; did you mean metrics.resamples?"),
        ("method.landmark.steps=3", "'method.landmark.steps'; did you mean method.landmarks.steps?"),
        ("scale=large", "no scale 'large'; there are paper, small, tiny"),
        ("data=mead", "no data 'mead'; there are emodb, folder"),
        ("methods=[]", "methods: expected at least one name"),
        ("methods=[evp,evp]", "methods: a name is there twice"),
        ("methods=7", "methods: expected a list of names, got 7"),
        ("seeds=two", "seeds: expected a list of whole numbers"),
        ("seeds=[]", "seeds: expected a list of whole numbers"),
        ("seeds=[1.5]", "seeds: expected a list of whole numbers"),
        ("seeds=[true]", "seeds: expected a list of whole numbers"),
        ("seeds=[4294967296]", "seeds: expected a list of whole numbers from 0 to 4294967295"),
        ("seeds=1,2", "one value expected; for several values use"),
        ("workers=two", "workers: expected int, got 'two'"),
        ("dry_run=yes please", "dry_run: expected bool, got 'yes please'"),
        ("device=tpu", "device: expected cpu, cuda or cuda:0, got 'tpu'"),
        ("checkpoint_seconds=soon", "checkpoint_seconds: expected"),
        ("checkpoint_seconds=-1", "checkpoint_seconds: expected 0 or more, got -1"),
        ("cache=''", "cache: expected a folder, got ''"),
        ("metrics.feature_every=0", "metrics.feature_every: expected 1 or more, got 0"),
        ("metrics.extractors=[vgg]", "metrics.extractors: no extractor 'vgg'; there are "),
        ("metrics.inception_weights=/no.pth", "metrics.inception_weights: there is no file /no.pth"),
        ("workers=99999", "workers: expected at most "),
        ("metrics.resamples=few", "metrics.resamples: expected a whole number, got 'few'"),
        ("tracking.timeout=long", "tracking.timeout: expected a number, got 'long'"),
        ("tracking.mode=loud", "tracking.mode: expected offline, online or disabled, got 'loud'"),
        ("run=../elsewhere", "run: '../elsewhere' cannot name a file"),
        ("run=a/b", "run: 'a/b' cannot name a file"),
        ("run=.hidden", "run: '.hidden' cannot name a file"),
        ("run=a..b", "run: 'a..b' cannot name a file"),
        ("methods=['../evp']", "methods: '../evp' cannot name a file"),
        ("ablations=['../full']", "ablations: '../full' cannot name a file"),
        ("data._target_=os.system", "data._target_: 'os.system' is refused"),
        ("data._target_=benchmarks.x.Y", "data._target_: 'benchmarks.x.Y' is refused"),
        ("data._target_=benchmark.data.grid.Grit", "data._target_: there is no benchmark.data.grid.Grit"),
        ("data._target_=benchmark.errors.errno.errorcode", "data._target_: "),
        ("data._target_=benchmark.training.stage_cache.dataclass", "is not a class of"),
        ("items.max_self=inf", "items.max_self: expected a finite number, got inf"),
        ("seeds", "expected key=value, got 'seeds'"),
        ("data=3", "data: expected a name, got 3"),
        ("=3", "expected key=value, got '=3'"),
        ("seeds=[0", "expected key=value, got 'seeds=[0'"),
    ],
)
def test_a_bad_command_line_is_one_line_that_names_the_key(tmp_path, argument, message):
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, argument)
    line = one_line(caught.value)
    assert message in line
    assert "\n" not in line
    assert caught.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_nothing_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("CANARY", "song")
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, "data.cache=${oc.env:CANARY}")
    assert "song" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "where"),
    [("method", "method"), ("method.landmarks", "method.landmarks"), ("dtw", "method.pairs.aligner")],
)
def test_a_class_of_others_is_refused_wherever_it_stands(key, where):
    composer = parse([f"{key}._target_=builtins.eval"])
    with pytest.raises(ConfigError, match=rf"{where}._target_: 'builtins.eval' is refused"):
        composer.method("evp", (), {"emotions": True, "frames": True})


def test_a_wrong_argument_names_its_place(tmp_path):
    tree = {"_target_": "benchmark.data.grid.Grid", "roof": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"no configuration key 'data\.roof'; did you mean root\?"):
        build(tree, "data", kinds=(Corpus,))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "detector",
            None,
            "data.detector: expected a mapping with a _target_ that makes a FaceDetector, got",
        ),
        ("frame_size", "big", "data.frame_size: expected a whole number, got 'big'"),
        ("emotions", "happy", "data.emotions: expected a list, each of it text, got 'happy'"),
        ("table", 3, "data.table: expected text or null, got 3"),
    ],
)
def test_an_argument_of_another_type_is_refused_before_anything_is_built(key, value, message):
    detector = {"_target_": "models.preprocess.faces.Given"}
    tree = {"_target_": "benchmark.data.folder.Folder", "root": "r", "cache": "c", "detector": detector}
    with pytest.raises(ConfigError) as caught:
        check_tree({**tree, key: value}, "data", kinds=(Corpus,))
    assert str(caught.value).startswith(message)


def test_a_speaker_whose_name_is_a_number(tmp_path):
    assert settings(tmp_path, "split.subject=10").split["subject"] == "10"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\n", "-" * 151, "~root", "$HOME", " a"])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(ConfigError, match="cannot name a file"):
        plain_name(name, "run")


@pytest.mark.parametrize("name", ["quick", "quick-emodb", "a.b_c+d=e@f,g", "é", "1"])
def test_a_plain_name_is_kept(name):
    assert plain_name(name, "run") == name


def test_the_last_of_a_key_wins(tmp_path):
    assert settings(tmp_path, "seeds=[1]", "seeds=[2,3]").seeds == (2, 3)


def test_choosing_one_method_runs_that_one(tmp_path):
    assert settings(tmp_path, "method=mean_face").methods == ("mean_face",)
    assert settings(tmp_path, "method=mean_face", "methods=[evp]").methods == ("evp",)


def test_machine_keys_are_not_part_of_what_was_done(tmp_path):
    told = settings(
        tmp_path, "suite=smoke", "workers=3", "tracking=disabled", "dry_run=true", "items.max_self=2"
    )
    assert told.overrides == ("suite=smoke", "items.max_self=2")
    assert (told.workers, told.dry_run) == (3, True)


def test_another_corpus_gets_its_own_folder(tmp_path):
    assert settings(tmp_path, "suite=smoke").run_directory == tmp_path / "results" / "smoke"
    assert settings(tmp_path, "data=grid").run_directory == tmp_path / "results" / "quick-grid"
    assert settings(tmp_path, "run=mine").run_directory == tmp_path / "results" / "mine"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("split.intensities=null", None),
        ("split.intensities=[1,3]", [1, 3]),
        ("split.subject=null", None),
        ("split.subject='null'", "null"),
        ("split.subject=a=b", "a=b"),
        ("split.subject=(ü)", "(ü)"),
    ],
)
def test_values_are_read_as_typed(tmp_path, argument, value):
    key = argument.split("=")[0].removeprefix("split.")
    assert settings(tmp_path, argument).split[key] == value


@pytest.mark.parametrize("key", ["out", "cache"])
def test_a_folder_that_a_dangling_link_stands_for_is_refused(tmp_path, key):
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(
        ConfigError, match=f"^{key}: expected a folder, but .*link is a link that leads nowhere"
    ):
        load([f"{key}={tmp_path}/link/below"])
