"""An Optuna study on a storage: opened, mended after a kill, asked and told.

Every trial carries its index, the number of trials that were settled before it was asked for. The sampler
is seeded by the index, so a sweep that was interrupted goes on with the trials that it would have had.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from benchmark.errors import ConfigError
from models.errors import StorageError, first_line
from models.seeding import derive_seed

_SQLITE_OPTIONS = re.compile(r"\?(uri|timeout|mode|cache|check_same_thread|isolation_level)=[^/]*$")
SQLITE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
"""Endings that tell the path of an SQLite file from other words."""
MAX_DEATHS = 3
"""A trial whose process died this often has failed."""
LOCKED_SECONDS = 120
"""How long a sweep waits for another program to let go of its SQLite file."""
FAILED, INTERRUPTED, DIED = "failed", "interrupted", "died"
"""How a trial without a value ended; only a failed one is settled, the others are asked for again."""


@dataclass(frozen=True)
class Sweep:
    """The trials of one study on one storage. One process at a time may use it."""

    study: optuna.Study
    name: str
    seed: int
    distributions: Mapping[str, BaseDistribution]
    defaults: Mapping[str, Any]

    def settled(self) -> list[FrozenTrial]:
        """Trials with a value, and those that failed by themselves, by index."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
        done = [t for t in trials if t.state == TrialState.COMPLETE or t.user_attrs.get("end") == FAILED]
        return sorted(done, key=lambda t: t.user_attrs["index"])

    def mend(self) -> int:
        """Close the trials that a killed process left open; how many there were."""
        stale = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in stale:
            if "end" not in trial.user_attrs:
                self._end_stale(trial)
            self.study.tell(trial.number, state=TrialState.FAIL)
        return len(stale)

    def _end_stale(self, trial: FrozenTrial) -> None:
        index = trial.user_attrs.get("index")
        past = self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        deaths = 1 + sum(t.user_attrs.get("index") == index and t.user_attrs.get("end") == DIED for t in past)
        poison = index is not None and deaths >= MAX_DEATHS
        reason = f"the process that ran it died {deaths} times" if poison else "its process died"
        live = Trial(self.study, trial._trial_id)
        live.set_user_attr("reason", reason)
        live.set_user_attr("end", FAILED if poison else DIED)

    def ask(self, index: int) -> Trial:
        """The trial of this index; the first is the configuration as it is, where the space holds it."""
        self.study.sampler = optuna.samplers.TPESampler(
            seed=derive_seed(self.seed, "sweep", self.name, index) % 2**32
        )
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if index == 0 and self.holds_defaults() and not waiting:
            self.study.enqueue_trial(dict(self.defaults))
        trial = self.study.ask(dict(self.distributions))
        trial.set_user_attr("index", index)
        return trial

    def holds_defaults(self) -> bool:
        return not self.outside()

    def outside(self) -> list[str]:
        """Keys whose default the space does not hold."""
        return [key for key, each in self.distributions.items() if not _holds(each, self.defaults[key])]

    def tell(self, trial: Trial, value: float | None, stage: str, reason: str) -> None:
        trial.set_user_attr("stage", stage)
        if value is not None:
            self.study.tell(trial, value)
            return
        self._fail(trial, FAILED, reason)

    def give_back(self, trial: Trial, reason: str) -> None:
        """Close a trial that was not to blame; its index is asked for again."""
        self._fail(trial, INTERRUPTED, reason)

    def _fail(self, trial: Trial, end: str, reason: str) -> None:
        trial.set_user_attr("reason", reason)
        trial.set_user_attr("end", end)
        self.study.tell(trial, state=TrialState.FAIL)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False


def open_sweep(
    place: str | Path,
    name: str,
    *,
    seed: int,
    distributions: Mapping[str, BaseDistribution],
    defaults: Mapping[str, Any],
    identity: Mapping[str, Any],
) -> Sweep:
    """Open or create a sweep.

    Args:
        place: an SQLAlchemy address, such as sqlite:////tmp/a.db, or the path of an SQLite file; as text with
            one of `SQLITE_SUFFIXES`.
        identity: what all its trials have in common; a storage made with another one is refused.

    Raises:
        ConfigError: an address that cannot be used, or a sweep of something else.
        StorageError: the storage could not be read or written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    whole = {**identity, "space": {key: distribution_to_json(d) for key, d in distributions.items()}}
    try:
        storage = storage_of(place)
        study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
    except (ArgumentError, ImportError, ValueError, LookupError) as error:
        raise ConfigError(
            f"storage: expected a file, or an address such as sqlite:///a.db ({first_line(error)})"
        ) from error
    except (SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError) as error:
        raise StorageError(f"the storage of the sweep cannot be opened: {first_line(error)}") from error
    _check_identity(study, name, json.loads(json.dumps(whole)))
    return Sweep(study, name, seed, distributions, defaults)


def storage_of(place: str | Path) -> optuna.storages.RDBStorage:
    """Return a storage; the name of an SQLite file may hold any character.

    What follows `sqlite:///` is a path, up to a `?` with options that SQLite has.

    Raises:
        ConfigError: no place where trials last.
    """
    text = str(place)
    scheme, separator, rest = text.partition(":///")
    if not separator and "://" not in text:
        # A word alone is more likely a slip than a file.
        if isinstance(place, str) and Path(text).suffix not in SQLITE_SUFFIXES:
            endings = ", ".join(SQLITE_SUFFIXES)
            raise ConfigError(
                f"storage: expected an address such as sqlite:///sweep.db, or a file that ends in {endings}, "
                f"got {text[:80]!r}"
            )
        path = text
    elif scheme == "sqlite" and rest and not _SQLITE_OPTIONS.search(rest):
        path = rest
    elif text.startswith("sqlite") and re.search(r":/*$|:memory:|mode=memory", text):
        path = ":memory:"
    else:
        # SQLite gives up on a locked file after 5 s unless it is told to wait.
        waiting = {"connect_args": {"timeout": LOCKED_SECONDS}} if text.startswith("sqlite:") else None
        return optuna.storages.RDBStorage(text, engine_kwargs=waiting)
    if path == ":memory:" or "\0" in path:
        raise ConfigError(f"storage: expected a file that lasts, or a server, got {path[:80]!r}")
    # Opened here: in an address, SQLAlchemy, Alembic and Optuna each read some characters otherwise.
    connect = partial(
        sqlite3.connect, str(Path(path).resolve()), timeout=LOCKED_SECONDS, check_same_thread=False
    )
    return optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": QueuePool})


def _check_identity(study: optuna.Study, name: str, wanted: dict[str, Any]) -> None:
    known = study.user_attrs.get("identity")
    if known is None:
        study.set_user_attr("identity", wanted)
        return
    differs = [key for key in wanted if known.get(key) != wanted[key]]
    if differs:
        raise ConfigError(
            f"the sweep {name} was begun with another {' and '.join(differs)}: they cannot be compared; "
            "name a new one with run=..."
        )


def is_storage_error(error: BaseException) -> bool:
    """Whether an error, or its cause, is the storage's."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, SQLAlchemyError | optuna.exceptions.StorageInternalError):
            return True
        link = link.__cause__
    return False
