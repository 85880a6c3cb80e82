"""From a command line to checked settings: Hydra composes, this module refuses what cannot be run.

Every refusal is one line that names the key. Only classes of declared kinds are ever instantiated from a
configuration: see `models.targets`.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmark.data.corpus import Corpus
from benchmark.errors import ConfigError
from benchmark.metrics.registry import METRICS
from benchmark.training.stage_cache import digest_of
from models.arguments import check_arguments, shown
from models.audio.aligners import Aligner
from models.errors import first_line
from models.face3d.alignment import LandmarkAlignment
from models.method import Method, Stage
from models.rendering.cycle.losses import CycleLosses
from models.targets import TARGET, build, check_tree, class_named

CONFIGS = Path(__file__).parent / "configs"
GROUPS = (
    "suite",
    "data",
    "face",
    "scale",
    "features",
    "dtw",
    "pretraining",
    "face3d",
    "align",
    "cycle",
    "method",
    "tracking",
)
ROOT_KINDS: Mapping[str, type] = {
    "data": Corpus,
    "face": Corpus,
    "pretraining.corpus": Corpus,
    "pretraining.stage": Stage,
    "face3d": Stage,
    "dtw": Aligner,
    "align": LandmarkAlignment,
    "cycle": CycleLosses,
    "method": Method,
}
"""What the `_target_` of a key makes; below these keys a constructor's annotations say it."""
FACE_SUPPLIED = ("corpus",)
"""Arguments of a face wrapper that the harness gives: the speech corpus that it adds faces to."""
PATH_KEYS = (
    "out",
    "cache",
    "root",
    "table",
    "models",
    "path",
    "logits",
    "precomputed",
    "weights",
    "inception_weights",
    "perceptual_weights",
)
"""Last parts of the keys whose values are places: these are taken as they are typed."""
ENVIRONMENT = (
    "HOME",
    "HOSTNAME",
    "LOGNAME",
    "PWD",
    "SCRATCH",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_ID",
    "SLURM_TMPDIR",
    "TMPDIR",
    "USER",
    "WORK",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
)
"""Variables that `${oc.env:NAME}` reads. Others may hold keys and tokens, and configurations are recorded."""
MACHINE_KEYS = (
    "out",
    "cache",
    "run",
    "workers",
    "device",
    "dry_run",
    "checkpoint_seconds",
    "stall_seconds",
    "stall",
    "tracking",
)
"""What a run does not depend on: where, how fast and who is told."""
ABOUT = ("label", "kind", "asks", "about", "shared")
"""Keys of a method's YAML that are not for its constructor: for the tables, or read by its other keys."""
KINDS = ("method", "floor", "ceiling")
OBSERVE_LEAST = {"clips": 0, "frames": 2, "frame_size": 32, "judge_sentences": 2, "resamples": 1}
"""The smallest values of `observe`: a velocity needs two frames, the renderer 32 pixels, the judges every
emotion, and not every sentence is spoken in all."""
LARGEST_SEED = 2**32 - 1
WORKERS_PER_CORE = 8
"""More would only take memory from each other."""
NO_VALUE = object()
"""Stands for a value that Hydra's grammar does not take: null is one that it takes."""


@dataclass(frozen=True)
class MethodConfig:
    """One method as one cell of the table wants it."""

    name: str
    label: str
    kind: str
    asks: str
    config: Mapping[str, Any]
    """The constructor's subtree, resolved, `_target_` included."""


@dataclass(frozen=True)
class Settings:
    """Everything about a run of the harness that does not depend on the method."""

    suite: str
    data_name: str
    overrides: tuple[str, ...]
    """The command line, without machine keys: part of the provenance."""
    methods: tuple[str, ...]
    ablations: tuple[str, ...]
    ablated: tuple[str, ...]
    """Methods that the ablations apply to; the others run in full only."""
    seeds: tuple[int, ...]
    data: Mapping[str, Any]
    face: Mapping[str, Any]
    split: Mapping[str, Any]
    film: Mapping[str, Any]
    items: Mapping[str, Any]
    metrics: Mapping[str, Any]
    probes: Mapping[str, Any]
    observe: Mapping[str, Any]
    tracking: Mapping[str, Any]
    out: Path
    cache: Path
    run_directory: Path
    workers: int
    device: str
    dry_run: bool
    checkpoint_seconds: float
    stall_seconds: float
    stall: str
    pretraining: Mapping[str, Any] | None
    """The corpus that content encoders are pre-trained on, if there is one."""
    composer: Composer = field(compare=False, repr=False)


@dataclass(frozen=True)
class Composer:
    """The command line, parsed once and composed for each method and ablation."""

    common: tuple[str, ...]
    of_method: tuple[str, ...]
    """Overrides below `method.`: they apply to the methods that have the key."""
    search_path: tuple[str, ...] = ()

    def compose(self, *extra: str) -> DictConfig:
        """Return the whole configuration, `hydra` included; a key's later override replaces an earlier one.

        Raises:
            ConfigError: one line that names what does not fit.
        """
        texts = _last_of_each((*self.common, *extra))
        if self.search_path:
            places = ",".join(f"file://{Path(p).resolve()}" for p in self.search_path)
            texts = [*texts, f"hydra.searchpath=[{places}]"]
        OmegaConf.register_new_resolver("oc.env", environment_variable, replace=True)
        try:
            with initialize_config_dir(config_dir=str(CONFIGS), version_base="1.3"):
                return compose("config", texts, return_hydra_config=True)
        except Exception as error:
            # Hydra meets some values with AssertionError, TypeError or RecursionError.
            raise self._explain(error, texts) from error

    def _explain(self, error: Exception, texts: Sequence[str]) -> ConfigError:
        message = first_line(error)
        if isinstance(error, MissingConfigException) and "Could not find '" in message:
            missing = message.split("Could not find '")[1].split("'")[0]
            group, _, name = missing.partition("/")
            return ConfigError(f"no {group} {name!r}; there are {', '.join(self.choices(group))}")
        found = re.search(r"Could not override '([^']+)'", message)
        if found:
            return self.unknown_key(found.group(1))
        return ConfigError(message)

    def unknown_key(self, key: str, known: Iterable[str] | None = None) -> ConfigError:
        if known is None:
            defaults = Composer((), (), self.search_path).compose(
                *[t for t in self.common if t.split("=")[0] in GROUPS]
            )
            known = [*_keys(defaults), *GROUPS]
        near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else "; `python -m benchmark.run --help` lists the keys"
        return ConfigError(f"no configuration key {shown(key)}{hint}")

    def choices(self, group: str) -> list[str]:
        folders = [CONFIGS / group, *[Path(p) / group for p in self.search_path]]
        return sorted({p.stem for folder in folders for p in folder.glob("*.yaml")})

    def places(self) -> dict[str, str]:
        """Return the files and folders that are configured, by key; not those that follow another key."""
        cfg = self.compose()
        keys = [key for key in _keys(cfg) if _is_place(key) and not key.startswith("method.")]
        texts = {key: OmegaConf.select(cfg, key) for key in keys if not _follows_a_key(cfg, key)}
        texts |= {
            o.key_or_group: o.value() for o in map(_parsed, self.of_method) if _is_place(o.key_or_group)
        }
        return {key: text for key, text in texts.items() if isinstance(text, str) and text}

    def method(self, name: str, extra: Sequence[str], corpus: Mapping[str, bool]) -> MethodConfig:
        """A method under the command line and then an ablation's overrides.

        Args:
            corpus: whether the corpus has emotions and frames, for YAMLs that refer to `${corpus.emotions}`.
        """
        facts = [f"corpus.{key}={str(value).lower()}" for key, value in corpus.items()]
        known = self.compose(f"method={name}", *facts)
        fitting = [text for text in self.of_method if _fits(known, text)]
        cfg = self.compose(f"method={name}", *facts, *fitting, *extra)
        tree = _resolved(cfg, "method")
        if not isinstance(tree.get("_target_"), str):
            raise ConfigError(f"method {name} names no class: expected method._target_ in its YAML")
        config = {key: value for key, value in tree.items() if key not in ABOUT}
        check_tree(config, "method", kinds=(Method,))
        about = {**{key: tree[key] for key in ABOUT if key in tree}, **(tree.get("about") or {})}
        kind = about.get("kind", "method")
        if kind not in KINDS:
            raise ConfigError(
                f"method.about.kind of {name}: expected one of {', '.join(KINDS)}, got {kind!r}"
            )
        return MethodConfig(name, about.get("label", name), kind, about.get("asks", ""), config)


def environment_variable(name: str, *default: str) -> str:
    """Return an environment variable that is no secret: what `${oc.env:NAME}` means.

    Args:
        default: of `${oc.env:NAME,default}`.

    Raises:
        ConfigError: another variable, or one that is not set.
    """
    if name not in ENVIRONMENT:
        raise ConfigError(
            f"the environment variable {shown(name)} is not read, as it may be secret and configurations are "
            f"recorded; write its value, or use one of {', '.join(ENVIRONMENT)}"
        )
    value = os.environ.get(name, *default)
    if value is None:
        raise ConfigError(f"the environment variable {name} is not set")
    return value


def parse(arguments: Sequence[str], search_path: Sequence[str] = ()) -> Composer:
    """
    Raises:
        ConfigError: an argument is not a `key=value`, or asks for a sweep.
    """
    common, of_method = [], []
    for text in map(in_grammar, arguments):
        override = _parsed(text)
        if override.is_sweep_override():
            raise ConfigError(
                f"{shown(text)}: one value expected; for several values use `python -m sweeps.run`, and "
                "quotes around a value with a comma"
            )
        _check_override(override, text)
        (of_method if override.key_or_group.startswith("method.") else common).append(text)
    return Composer(tuple(common), tuple(of_method), tuple(search_path))


def _check_override(override: Override, text: str) -> None:
    """Refuse keys of Hydra's own, and choices of a group that are no name."""
    key = override.key_or_group
    if re.match(r"hydra\b", key):
        raise ConfigError(f"{shown(text)}: no key of Hydra's own can be set here")
    if key in GROUPS and not override.is_delete() and not isinstance(override.value(), str):
        raise ConfigError(f"{key}: expected a name, got {shown(override.value())}")


def in_grammar(text: str) -> str:
    """Return an argument as Hydra's grammar reads it the way it was typed.

    A place (see `PATH_KEYS`) may hold any character; other values are put into quotes where the grammar does
    not take them, unless they begin as a list or a mapping. A leading `~/` is the home folder.
    """
    match = re.fullmatch(r"(\+{0,2}([A-Za-z_][\w.@/-]*))=(.*)", text, re.DOTALL)
    if match is None:
        return text
    key, name, value = match.groups()
    place = _is_place(name)
    if place and re.match(r"~(/|$)", value):
        value = str(Path(value).expanduser())
    verbatim = place and not ("${" in value or value in ("", "null", "???") or value[0] in "'\"")
    reads = _value_read(f"{key}={value}")
    if reads == value or (reads is not NO_VALUE and not verbatim) or (not place and value[:1] in ("[", "{")):
        return f"{key}={value}"
    return f"{key}={QuotedString(text=value, quote=Quote.single).with_quotes()}"


def _is_place(key: str) -> bool:
    return key.rpartition(".")[2] in PATH_KEYS


def _follows_a_key(cfg: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    node = (OmegaConf.select(cfg, parent) if parent else cfg)._get_node(name)
    return node is not None and re.fullmatch(r"\$\{[\w.]+\}", str(node._value())) is not None


def _value_read(text: str) -> Any:
    """Return what Hydra reads as an argument's value, None for null; `NO_VALUE` where it reads none."""
    try:
        override = OverridesParser.create().parse_override(text)
    except Exception:
        return NO_VALUE
    return "" if override.is_sweep_override() else override.value()


def _parsed(text: str) -> Override:
    try:
        override = OverridesParser.create().parse_override(text)
    except Exception as error:
        # Not HydraException alone: deep nesting ends in a RecursionError of the parser.
        reason = first_line(error)
        hint = "" if "=" not in text else "; a value with special characters is written key='value'"
        raise ConfigError(f"expected key=value, got {shown(text)} ({reason}){hint}") from error
    if not override.key_or_group:
        raise ConfigError(f"expected key=value, got {shown(text)} (there is no key)")
    return override


def _last_of_each(texts: Iterable[str]) -> list[str]:
    last: dict[str, str] = {}
    for text in texts:
        key = _parsed(text).key_or_group
        last.pop(key, None)
        last[key] = text
    return list(last.values())


def _fits(cfg: DictConfig, text: str) -> bool:
    override = _parsed(text)
    if override.is_add() or override.is_force_add():
        return True
    missing = object()
    return OmegaConf.select(cfg, override.key_or_group, default=missing) is not missing


def load(arguments: Sequence[str], search_path: Sequence[str] = ()) -> Settings:
    """Compose and check a command line.

    Raises:
        ConfigError: one line on the first thing that does not fit.
    """
    composer = parse(arguments, search_path)
    cfg = composer.compose()
    _check_top_keys(cfg, composer)
    names = [_parsed(t).key_or_group for t in composer.common]
    if "method" in names and "methods" not in names:
        chosen = _choices(cfg)["method"]
        methods: tuple[str, ...] = (plain_name(chosen, "method"),)
    else:
        methods = _names(cfg, "methods")
    settings = _settings(cfg, composer, methods)
    _check_method_keys(composer, settings.methods)
    return settings


def _check_top_keys(cfg: DictConfig, composer: Composer) -> None:
    """Refuse keys that `+` adds beside those that are read: they would change nothing."""
    known = {str(key) for key in OmegaConf.load(CONFIGS / "config.yaml")} | set(GROUPS)
    for text in composer.common:
        key = _parsed(text).key_or_group
        if key.split(".")[0].split("@")[0] not in known:
            raise composer.unknown_key(key, known)


def _choices(cfg: DictConfig) -> dict[str, str]:
    """Return what is chosen in each group.

    Raises:
        ConfigError: a group that is needed was deleted.
    """
    choices = OmegaConf.to_container(cfg.hydra.runtime.choices)
    assert isinstance(choices, dict)
    for group in GROUPS:
        if not isinstance(choices.get(group), str):
            raise ConfigError(f"{group}: expected a name, got {choices.get(group)!r}")
    return {str(key): str(value) for key, value in choices.items()}


def _settings(cfg: DictConfig, composer: Composer, methods: tuple[str, ...]) -> Settings:
    choices = _choices(cfg)
    suite, data_name = choices["suite"], choices["data"]
    out, cache = Path(_folder(cfg, "out")), Path(_folder(cfg, "cache"))
    run = _typed(cfg, "run", str, optional=True)
    run = run if run is not None else suite if data_name == "synthetic" else f"{suite}-{data_name}"
    for method in methods:
        if method not in composer.choices("method"):
            raise ConfigError(f"no method {method!r}; there are {', '.join(composer.choices('method'))}")
    data, face = _resolved(cfg, "data"), _resolved(cfg, "face")
    pretraining = _resolved(cfg, "pretraining").get("corpus")
    check_tree(data, "data", kinds=(Corpus,))
    if face:
        check_tree(face, "face", kinds=(Corpus,), supplied=FACE_SUPPLIED)
    if pretraining is not None:
        check_tree(pretraining, "pretraining.corpus", kinds=(Corpus,))
    _check_targets(cfg)
    device = _typed(cfg, "device", str)
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ConfigError(f"device: expected cpu, cuda or cuda:0, got {device!r}")
    return Settings(
        suite=plain_name(suite, "suite"),
        data_name=data_name,
        overrides=tuple(
            t
            for t in (*composer.common, *composer.of_method)
            if t.split("=")[0].split(".")[0] not in MACHINE_KEYS
        ),
        methods=methods,
        ablations=_names(cfg, "ablations"),
        ablated=_names(cfg, "ablated"),
        seeds=_seeds(cfg),
        data=data,
        face=face,
        split=_split(cfg),
        film=_resolved(cfg, "film"),
        items=_resolved(cfg, "items"),
        metrics=_metrics(cfg),
        probes=_probes(cfg),
        observe=_observe(cfg),
        tracking=_tracking(cfg),
        out=out,
        cache=cache,
        run_directory=out / plain_name(run, "run"),
        workers=_workers(cfg),
        device=device,
        dry_run=_typed(cfg, "dry_run", bool),
        checkpoint_seconds=_seconds(cfg, "checkpoint_seconds"),
        stall_seconds=_seconds(cfg, "stall_seconds"),
        stall=_stall(cfg),
        pretraining=pretraining,
        composer=composer,
    )


def _check_method_keys(composer: Composer, methods: Sequence[str]) -> None:
    if not composer.of_method:
        return
    trees = [composer.compose(f"method={name}") for name in methods]
    for text in composer.of_method:
        if not any(_fits(tree, text) for tree in trees):
            known = {key for tree in trees for key in _keys(tree)}
            raise composer.unknown_key(_parsed(text).key_or_group, known)
    for tree in trees:
        _check_targets(tree)


def _value(cfg: DictConfig, key: str) -> Any:
    """Return a top-level value.

    Raises:
        ConfigError: it was deleted, or refers to something that cannot be read.
    """
    try:
        return cfg[key]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}: {_interpolation_error(error)}") from error


def _interpolation_error(error: BaseException) -> str:
    """Return why a value cannot be read: OmegaConf puts its own words before those of a resolver."""
    return re.sub(r"^\w+ raised while resolving interpolation: ", "", first_line(error))


def _resolved(cfg: DictConfig, key: str) -> dict[str, Any]:
    try:
        node = _value(cfg, key)
        if not isinstance(node, DictConfig) or node._is_none():
            got = "null" if isinstance(node, DictConfig) else shown(node)
            raise ConfigError(f"{key}: expected a mapping, got {got}")
        tree = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except (OmegaConfBaseException, RecursionError) as error:
        raise ConfigError(f"{key}: {_interpolation_error(error)}") from error
    assert isinstance(tree, dict)
    for name in tree:
        if not isinstance(name, str):
            raise ConfigError(f"{key}.{name}: expected a name, got {shown(name)}")
    _check_finite(tree, key)
    return {str(k): v for k, v in tree.items()}


def _check_finite(tree: Any, path: str) -> None:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            _check_finite(value, f"{path}.{key}")
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            _check_finite(value, f"{path}[{index}]")
    elif isinstance(tree, float) and not math.isfinite(tree):
        raise ConfigError(f"{path}: expected a finite number, got {tree}")


def _typed(cfg: DictConfig, key: str, kind: type | tuple[type, ...], optional: bool = False) -> Any:
    value = _value(cfg, key)
    if value is None and optional:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise ConfigError(f"{key}: expected {' or '.join(k.__name__ for k in kinds)}, got {shown(value)}")
    return value


def _names(cfg: DictConfig, key: str) -> tuple[str, ...]:
    value = _value(cfg, key)
    values = [value] if isinstance(value, str) else list(value) if OmegaConf.is_list(value) else None
    if values is None or not all(isinstance(v, str) for v in values):
        raise ConfigError(f"{key}: expected a list of names, got {shown(value)}")
    if len(set(values)) != len(values):
        raise ConfigError(f"{key}: a name is there twice in {shown(values)}")
    if not values and key != "ablated":
        raise ConfigError(f"{key}: expected at least one name, got none")
    return tuple(plain_name(v, key) for v in values)


def _seeds(cfg: DictConfig) -> tuple[int, ...]:
    value = _value(cfg, "seeds")
    values = [value] if isinstance(value, int) else list(value) if OmegaConf.is_list(value) else []
    whole = (v for v in values if isinstance(v, int) and not isinstance(v, bool))
    seeds = tuple(v for v in whole if 0 <= v <= LARGEST_SEED)
    if not values or len(seeds) != len(values):
        raise ConfigError(
            f"seeds: expected a list of whole numbers from 0 to {LARGEST_SEED}, such as [0,1,2], "
            f"got {shown(value)}"
        )
    if len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds: a seed is there twice in {shown(values)}")
    return seeds


def _folder(cfg: DictConfig, key: str) -> str:
    value = _typed(cfg, key, str)
    if not value.strip() or "\0" in value:
        raise ConfigError(f"{key}: expected a folder, got {shown(value)}")
    for place in (Path(value), *Path(value).parents):
        if (place.exists() or place.is_symlink()) and not place.is_dir():
            kind = "a link that leads nowhere" if place.is_symlink() else "a file"
            raise ConfigError(f"{key}: expected a folder, but {place} is {kind}")
    return value


def _split(cfg: DictConfig) -> dict[str, Any]:
    split = _resolved(cfg, "split")
    if isinstance(split.get("subject"), int):
        # Speakers are names, and those of some corpora look like numbers.
        split["subject"] = str(split["subject"])
    return split


def _metrics(cfg: DictConfig) -> dict[str, Any]:
    metrics = _resolved(cfg, "metrics")
    check_arguments(_metric_keys, metrics, "metrics")
    _at_least("metrics", metrics, {"feature_every": 1, "resamples": 1, "network_steps": 0, "sync_steps": 0})
    known = dict.fromkeys(m.extractor for m in METRICS if m.extractor)
    for name in metrics["extractors"]:
        if name not in known:
            raise ConfigError(f"metrics.extractors: no extractor {name!r}; there are {', '.join(known)}")
    weights = metrics["inception_weights"]
    if weights is not None and not Path(weights).is_file():
        raise ConfigError(f"metrics.inception_weights: there is no file {weights}")
    return metrics


def _at_least(group: str, values: Mapping[str, Any], least: Mapping[str, int]) -> None:
    for key, smallest in least.items():
        if values[key] is not None and values[key] < smallest:
            raise ConfigError(f"{group}.{key}: expected {smallest} or more, got {values[key]}")


def _metric_keys(
    extractors: Sequence[str],
    feature_every: int,
    resamples: int,
    allow_biased: bool,
    inception_weights: str | None,
    redetect: Literal["facemesh"] | None,
    network_steps: int,
    sync_steps: int,
) -> None:
    """The keys of `metrics` and their types."""


def _probes(cfg: DictConfig) -> dict[str, Any]:
    probes = _resolved(cfg, "probes")
    check_arguments(_probe_keys, probes, "probes")
    _at_least("probes", probes, {"clips": 0, "frame_every": 1})
    return probes


def _probe_keys(clips: int, frame_every: int) -> None:
    """The keys of `probes` and their types."""


def _observe(cfg: DictConfig) -> dict[str, Any]:
    observe = _resolved(cfg, "observe")
    check_arguments(_observe_keys, observe, "observe")
    _at_least("observe", observe, OBSERVE_LEAST)
    return observe


def _observe_keys(
    clips: int, frames: int | None, frame_size: int, judge_sentences: int, resamples: int, cache: str
) -> None:
    """The keys of `observe` and their types."""


def _seconds(cfg: DictConfig, key: str) -> float:
    value = float(_typed(cfg, key, (int, float)))
    if not 0 <= value < math.inf:
        raise ConfigError(f"{key}: expected 0 or more, got {value}")
    return value


def _stall(cfg: DictConfig) -> str:
    value = _typed(cfg, "stall", str)
    if value not in ("report", "fail"):
        raise ConfigError(f"stall: expected report or fail, got {value!r}")
    return value


def _workers(cfg: DictConfig) -> int:
    import os

    value = _typed(cfg, "workers", int, optional=True)
    if value is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if value < 1:
        raise ConfigError(f"workers: expected 1 or more, got {value}")
    most = WORKERS_PER_CORE * (os.cpu_count() or 1)
    if value > most:
        raise ConfigError(f"workers: expected at most {most} on this machine, got {value}")
    return value


def _tracking(cfg: DictConfig) -> dict[str, Any]:
    tracking = _resolved(cfg, "tracking")
    if tracking.get("mode") not in ("offline", "online", "disabled"):
        raise ConfigError(
            f"tracking.mode: expected offline, online or disabled, got {tracking.get('mode')!r}"
        )
    check_arguments(_tracking_keys, tracking, "tracking")
    return tracking


def _tracking_keys(mode: str, project: str, timeout: float) -> None:
    """The keys of `tracking` and their types."""


def plain_name(name: str, key: str) -> str:
    """The name, if it can be a file's.

    Raises:
        ConfigError: it is empty, too long, hidden, or leads out of its folder.
    """
    fits = re.fullmatch(r"[\w@+=,-][\w@+=,. -]*", name) and ".." not in name
    if not fits or len(name.encode(errors="replace")) > 150:
        raise ConfigError(
            f"{key}: {shown(name)} cannot name a file: use letters, digits, '-', '_', '@' and '.'"
        )
    return name


def _keys(cfg: DictConfig) -> Iterator[str]:
    """Dotted keys of a configuration, without Hydra's own."""

    def below(node: Any, prefix: str) -> Iterator[str]:
        for key in node:
            path = f"{prefix}{key}"
            yield path
            raw = node._get_node(key)
            if isinstance(raw, DictConfig) and not raw._is_none() and not raw._is_interpolation():
                yield from below(raw, f"{path}.")

    for path in below(cfg, ""):
        if path != "hydra" and not path.startswith("hydra."):
            yield path


# Classes named in configurations


def _check_targets(cfg: DictConfig) -> None:
    """Refuse a class of another kind anywhere in the configuration, whether or not it would be built."""
    tree = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(tree, dict)
    for key, value in tree.items():
        if key != "hydra":
            _check_names_below(value, str(key))


def _check_names_below(tree: Any, path: str) -> None:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key != TARGET:
                _check_names_below(value, f"{path}.{key}")
            # A reference to another key is checked there, and where it is built.
            elif not (isinstance(value, str) and "${" in value):
                kind = ROOT_KINDS.get(path)
                class_named(value, f"{path}.{TARGET}", kinds=None if kind is None else (kind,))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            _check_names_below(value, f"{path}[{index}]")


def instantiate(tree: Mapping[str, Any], path: str, kind: type, **supplied: Any) -> Any:
    """Build the object of a kind that a resolved subtree describes.

    Args:
        supplied: arguments that are not in the configuration.

    Raises:
        ConfigError: a refused class, or arguments that its constructor does not take.
    """
    return build(tree, path, kinds=(kind,), **supplied)


def config_id(*parts: Any) -> str:
    """A short hash of resolved configurations."""
    return digest_of(list(parts))[:12]
