"""From a command line to checked settings: Hydra composes, this module refuses what cannot be run.

Every refusal is one line that names the key. Only classes of this project's own packages are ever
instantiated from a configuration.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmark.arguments import check_arguments
from benchmark.errors import ConfigError
from benchmark.metrics.registry import METRICS
from benchmark.training.stage_cache import digest_of

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
ALLOWED_TARGETS: tuple[str, ...] = ("models.", "baselines.", "benchmark.")
"""Packages whose classes a configuration may name."""
MACHINE_KEYS = ("out", "cache", "run", "workers", "device", "dry_run", "checkpoint_seconds", "tracking")
"""What a run does not depend on: where, how fast and who is told."""
ABOUT = ("label", "kind", "asks", "about", "shared")
"""Keys of a method's YAML that are not for its constructor: for the tables, or read by its other keys."""
KINDS = ("method", "floor", "ceiling")
OBSERVE_LEAST = {"clips": 0, "frames": 2, "frame_size": 32, "judge_sentences": 2, "resamples": 1}
"""The smallest values of `observe`: a velocity needs two frames, the renderer 32 pixels, the judges every
emotion, and not every sentence is spoken in all."""
WORKERS_PER_CORE = 8
"""More would only take memory from each other."""


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
    run_directory: Path
    workers: int
    device: str
    dry_run: bool
    checkpoint_seconds: float
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
        """The whole configuration, `hydra` included; a later override of a key replaces an earlier one.

        Raises:
            ConfigError: one line that names what does not fit.
        """
        texts = _last_of_each((*self.common, *extra))
        if self.search_path:
            places = ",".join(f"file://{Path(p).resolve()}" for p in self.search_path)
            texts = [*texts, f"hydra.searchpath=[{places}]"]
        try:
            with initialize_config_dir(config_dir=str(CONFIGS), version_base="1.3"):
                return compose("config", texts, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise self._explain(error, texts) from error

    def _explain(self, error: Exception, texts: Sequence[str]) -> ConfigError:
        message = str(error).splitlines()[0]
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
        return ConfigError(f"no configuration key {key!r}{hint}")

    def choices(self, group: str) -> list[str]:
        folders = [CONFIGS / group, *[Path(p) / group for p in self.search_path]]
        return sorted({p.stem for folder in folders for p in folder.glob("*.yaml")})

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
        check_targets(config, "method")
        about = {**{key: tree[key] for key in ABOUT if key in tree}, **(tree.get("about") or {})}
        kind = about.get("kind", "method")
        if kind not in KINDS:
            raise ConfigError(
                f"method.about.kind of {name}: expected one of {', '.join(KINDS)}, got {kind!r}"
            )
        return MethodConfig(name, about.get("label", name), kind, about.get("asks", ""), config)


def parse(arguments: Sequence[str], search_path: Sequence[str] = ()) -> Composer:
    """
    Raises:
        ConfigError: an argument is not a `key=value`, or asks for a sweep.
    """
    common, of_method = [], []
    for text in arguments:
        override = _parsed(text)
        if override.is_sweep_override():
            raise ConfigError(f"{text}: one value expected; for several values use `python -m sweeps.run`")
        (of_method if override.key_or_group.startswith("method.") else common).append(text)
    return Composer(tuple(common), tuple(of_method), tuple(search_path))


def _parsed(text: str) -> Override:
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"expected key=value, got {text!r} ({reason})") from error
    if not override.key_or_group:
        raise ConfigError(f"expected key=value, got {text!r} (there is no key)")
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
    # A configuration must not carry what is in the environment (keys, tokens) into records and logs.
    OmegaConf.clear_resolver("oc.env")
    composer = parse(arguments, search_path)
    cfg = composer.compose()
    own_methods = [t.split("=", 1)[1] for t in composer.common if _parsed(t).key_or_group == "method"]
    names = [_parsed(t).key_or_group for t in composer.common]
    if own_methods and "methods" not in names:
        methods: tuple[str, ...] = (own_methods[-1],)
    else:
        methods = _names(cfg, "methods")
    settings = _settings(cfg, composer, methods)
    _check_method_keys(composer, settings.methods)
    return settings


def _settings(cfg: DictConfig, composer: Composer, methods: tuple[str, ...]) -> Settings:
    choices = OmegaConf.to_container(cfg.hydra.runtime.choices)
    assert isinstance(choices, dict)
    suite, data_name = str(choices["suite"]), str(choices["data"])
    out = Path(_folder(cfg, "out"))
    _folder(cfg, "cache")
    run = _typed(cfg, "run", str, optional=True)
    run = run if run is not None else suite if data_name == "synthetic" else f"{suite}-{data_name}"
    for method in methods:
        if method not in composer.choices("method"):
            raise ConfigError(f"no method {method!r}; there are {', '.join(composer.choices('method'))}")
    data, face = _resolved(cfg, "data"), _resolved(cfg, "face")
    pretraining = _resolved(cfg, "pretraining").get("corpus")
    for tree, key in ((data, "data"), (face, "face"), (pretraining, "pretraining.corpus")):
        check_targets(tree, key)
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
        run_directory=out / plain_name(run, "run"),
        workers=_workers(cfg),
        device=device,
        dry_run=_typed(cfg, "dry_run", bool),
        checkpoint_seconds=_checkpoint_seconds(cfg),
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


def _resolved(cfg: DictConfig, key: str) -> dict[str, Any]:
    try:
        tree = OmegaConf.to_container(cfg[key], resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{key}: expected a mapping, got {tree!r}")
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
    value = cfg[key]
    if value is None and optional:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise ConfigError(f"{key}: expected {' or '.join(k.__name__ for k in kinds)}, got {value!r}")
    return value


def _names(cfg: DictConfig, key: str) -> tuple[str, ...]:
    value = cfg[key]
    values = [value] if isinstance(value, str) else list(value) if OmegaConf.is_list(value) else None
    if values is None or not all(isinstance(v, str) for v in values):
        raise ConfigError(f"{key}: expected a list of names, got {value!r}")
    if len(set(values)) != len(values):
        raise ConfigError(f"{key}: a name is there twice in {values}")
    if not values and key != "ablated":
        raise ConfigError(f"{key}: expected at least one name, got none")
    return tuple(plain_name(v, key) for v in values)


def _seeds(cfg: DictConfig) -> tuple[int, ...]:
    value = cfg.seeds
    values = [value] if isinstance(value, int) else list(value) if OmegaConf.is_list(value) else []
    seeds = tuple(v for v in values if isinstance(v, int) and not isinstance(v, bool) and v >= 0)
    if not values or len(seeds) != len(values):
        raise ConfigError(
            f"seeds: expected a list of whole numbers from 0 up, such as [0,1,2], got {value!r}"
        )
    if len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds: a seed is there twice in {values}")
    return seeds


def _folder(cfg: DictConfig, key: str) -> str:
    value = _typed(cfg, key, str)
    if not value.strip() or "\0" in value:
        raise ConfigError(f"{key}: expected a folder, got {value!r}")
    for place in (Path(value), *Path(value).parents):
        if place.exists() and not place.is_dir():
            raise ConfigError(f"{key}: expected a folder, but {place} is a file")
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


def _checkpoint_seconds(cfg: DictConfig) -> float:
    value = float(_typed(cfg, "checkpoint_seconds", (int, float)))
    if not 0 <= value < math.inf:
        raise ConfigError(f"checkpoint_seconds: expected 0 or more, got {value}")
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
    if not re.fullmatch(r"[\w@+=,-][\w@+=,. -]*", name) or ".." in name or len(name.encode()) > 150:
        raise ConfigError(f"{key}: {name!r} cannot name a file: use letters, digits, '-', '_', '@' and '.'")
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


def check_targets(tree: Any, path: str) -> None:
    """Refuse a `_target_` that is not a class or function of this project's own packages, or its arguments.

    The object itself is looked at, not its name alone: `benchmark.x.os.system` is not ours. Arguments must be
    of the types that it declares.

    Raises:
        ConfigError: naming the key.
    """
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key == "_target_":
                arguments = {str(name): each for name, each in tree.items() if name != "_target_"}
                check_arguments(target_of(value, f"{path}._target_"), arguments, path)
            else:
                check_targets(value, f"{path}.{key}")
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            check_targets(value, f"{path}[{index}]")


def target_of(name: Any, path: str) -> Any:
    """The class or function that a `_target_` names."""
    if not isinstance(name, str) or not name.startswith(ALLOWED_TARGETS):
        allowed = ", ".join(prefix.rstrip(".") for prefix in ALLOWED_TARGETS)
        raise ConfigError(f"{path}: {name!r} is refused: only classes of {allowed} may be named")
    module_name, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{path}: there is no {name} ({error})") from error
    home = f"{getattr(found, '__module__', '')}."
    if not (inspect.isclass(found) or inspect.isfunction(found)) or not home.startswith(ALLOWED_TARGETS):
        raise ConfigError(f"{path}: {name!r} is refused: it is not a class or function of this project")
    return found


def instantiate(tree: Mapping[str, Any], path: str, **extra: Any) -> Any:
    """The object that a resolved subtree describes.

    Raises:
        ConfigError: a refused class, or arguments that its constructor does not take.
    """
    from hydra.utils import instantiate as build

    check_targets(tree, path)
    try:
        return build(dict(tree), _convert_="all", **extra)
    except HydraException as error:
        cause = error.__cause__ or error
        if isinstance(cause, TypeError | ValueError):
            raise ConfigError(f"{path} ({tree.get('_target_')}): {' '.join(str(cause).split())}") from error
        raise cause from error


def config_id(*parts: Any) -> str:
    """A short hash of resolved configurations."""
    return digest_of(list(parts))[:12]
