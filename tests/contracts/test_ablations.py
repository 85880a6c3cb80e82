"""Every ablation: it composes, changes something, and touches nothing above what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from benchmark.ablations import ABLATIONS, Ablation
from benchmark.config import GROUPS, load
from benchmark.plan import Cell, Plan, make_plan
from benchmark.records import FULL
from benchmark.study import Study, StudyConfig
from models.targets import class_named

METHOD = "evp"
ABLATED = [entry for entry in ABLATIONS if entry.name != FULL]
every_ablation = pytest.mark.parametrize("entry", ABLATED, ids=lambda entry: entry.name)


def cell(plan: Plan, ablation: str) -> Cell:
    (found,) = [c for c in plan.cells if c.variant.ablation == ablation]
    return found


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    place = tmp_path_factory.mktemp("plan")
    names = ",".join(entry.name for entry in ABLATIONS)
    settings = load(
        [
            "suite=smoke",
            f"methods=[{METHOD}]",
            f"ablated=[{METHOD}]",
            f"ablations=[{names}]",
            f"out={place}/results",
            f"cache={place}/cache",
        ]
    )
    return make_plan(settings, Study(StudyConfig.of(settings)))


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    if isinstance(tree, Mapping):
        return {k: v for key, value in tree.items() for k, v in leaves(value, f"{path}.{key}").items()}
    return {path: tree}


def targets(tree: Any) -> list[str]:
    return [value for key, value in leaves(tree).items() if key.endswith("._target_")]


def test_the_full_model_is_one_of_them():
    assert [entry.name for entry in ABLATIONS].count(FULL) == 1
    assert next(entry for entry in ABLATIONS if entry.name == FULL).overrides == ()


def test_names_and_labels_differ():
    assert len({entry.name for entry in ABLATIONS}) == len(ABLATIONS)
    assert len({entry.label for entry in ABLATIONS}) == len(ABLATIONS)


@every_ablation
def test_says_what_it_asks(entry: Ablation):
    assert entry.label
    assert entry.asks.endswith("?")


@every_ablation
def test_changes_the_keys_it_names_and_no_others(plan: Plan, entry: Ablation):
    full, own = (leaves(cell(plan, name).variant.method.config, "method") for name in (FULL, entry.name))
    changed = {key for key in full.keys() | own.keys() if full.get(key) != own.get(key)}
    named = {text.split("=", 1)[0].lstrip("+~") for text in entry.overrides}
    assert changed
    if not named & set(GROUPS):  # swapping a whole part may change any of its keys
        assert changed == named


@every_ablation
def test_every_class_it_names_exists(plan: Plan, entry: Ablation):
    for name in targets(cell(plan, entry.name).variant.method.config):
        assert callable(class_named(name, "method"))


def test_every_run_has_its_own_identity(plan: Plan):
    assert len({c.run_id for c in plan.cells}) == len(ABLATIONS)
    assert len({c.score for c in plan.cells}) == len(ABLATIONS)


@every_ablation
def test_shares_every_stage_that_it_does_not_touch(plan: Plan, entry: Ablation):
    full, own = cell(plan, FULL), cell(plan, entry.name)
    stages = own.variant.built.stages()
    below: set[str] = set()
    for name, stage in stages.items():
        before, after = (c.variant.method.config.get(name) for c in (full, own))
        if before != after or below & set(stage.upstream):
            below.add(name)
    for name in stages:
        assert (own.stages[name] != full.stages.get(name)) == (name in below), name
    assert own.stages["predict"] != full.stages["predict"]


@every_ablation
def test_sees_the_same_random_streams_as_the_full_model(plan: Plan, entry: Ablation):
    full, own = cell(plan, FULL), cell(plan, entry.name)
    for name in own.variant.built.stages().keys() & full.stages.keys():
        first, second = (plan.jobs[f"{name}-{c.stages[name]}"] for c in (full, own))
        assert (first.name, first.payload["seed"]) == (second.name, second.payload["seed"])
