"""What a manifest says of clips, judges and probes, as the report needs it: types, and what goes together.

The writers' dictionaries have more in them than is listed here, and newer ones may have more still; what is
listed has these types, so that the report can be built without asking at every step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

AGREEMENT, SYNC, LEFT_OUT = "agreement", "sync", "left out"
"""Keys of a manifest's judges that are none of emotion, and of the clips that a judge was not trained on."""
TYPES = ConfigDict(strict=True, allow_inf_nan=False)

Counts = list[list[int]]
"""A square table of one thing by another."""


@with_config(TYPES)
class ClipFacts(TypedDict):
    """A test item."""

    condition: str
    sentence: NotRequired[str | None]
    text: NotRequired[str | None]
    emotion: NotRequired[str | None]
    intensity: NotRequired[int | None]
    speaker: NotRequired[str | None]
    target: NotRequired[str | None]


class Bin(TypedDict):
    count: int
    confidence: float
    accuracy: float


class Calibration(TypedDict):
    clips: int
    accuracy: float
    log_loss: float
    brier: float
    ece: float
    bins: list[Bin]


class Calibrations(TypedDict):
    trained: Calibration
    fitted: Calibration


@with_config(TYPES)
class EmotionFacts(TypedDict):
    """A judge of emotion."""

    labels: list[str]
    confusion: dict[str, Counts]
    chance: NotRequired[float]
    temperature: NotRequired[float]
    ceiling: NotRequired[float | None]
    ceilings: NotRequired[dict[str, float]]
    calibration: NotRequired[dict[str, Calibrations]]


class Agreed(TypedDict):
    counts: Counts
    kappa: float | None


@with_config(TYPES)
class AgreementFacts(TypedDict):
    """How far two judges of emotion agree, by condition and by row and condition."""

    truth: dict[str, Agreed]
    rows: dict[str, Agreed]


class Shifts(TypedDict):
    clips: int
    offset_ms: float
    confidence: float
    shifts_ms: Annotated[list[float], Field(min_length=3, max_length=3)]
    """First, last and step."""
    error_median_ms: float
    error_p95_ms: float
    close_ms: float
    close: float


@with_config(TYPES)
class SyncFacts(TypedDict):
    """What the judge of synchrony finds in true clips, by condition."""

    truth: dict[str, Shifts]


class Factor(TypedDict):
    classes: list[str]
    chance: float


ProbeFacts = with_config(TYPES)(
    TypedDict(
        "ProbeFacts",
        {
            "clips": int,
            "own clips": int,
            "frames": int,
            "sentences": list[str],
            "speakers": list[str],
            "folds": int,
            "factors": dict[str, Factor],
        },
    )
)
"""What embeddings were probed with."""

_CLIPS = TypeAdapter(dict[str, ClipFacts])
_EMOTION, _AGREEMENT, _SYNC = TypeAdapter(EmotionFacts), TypeAdapter(AgreementFacts), TypeAdapter(SyncFacts)
_PROBES = TypeAdapter(ProbeFacts)


def check_described(clips: Mapping[str, Any], judges: Mapping[str, Any], probes: Mapping[str, Any]) -> None:
    """Refuse descriptions that lack something, or have it in another type.

    Raises:
        ValueError: the first thing that is wrong, and where.
    """
    _check(_CLIPS, clips, "clips")
    for name, judge in judges.items():
        if name == AGREEMENT:
            _check(_AGREEMENT, judge, f"judges.{name}")
            _check_agreement(judge)
        elif name == SYNC:
            _check(_SYNC, judge, f"judges.{name}")
            if not judge["truth"]:
                raise ValueError(f"the judge {name} has no condition")
        else:
            _check(_EMOTION, judge, f"judges.{name}")
            _check_emotion(name, judge)
    if probes:
        _check(_PROBES, probes, "probes")


def _check(described: TypeAdapter[Any], value: Any, path: str) -> None:
    try:
        described.validate_python(value)
    except ValidationError as error:
        raise ValueError(first_problem(error, path)) from error


def first_problem(error: ValidationError, *above: str) -> str:
    """Return the first place of a validation and its problem.

    Args:
        above: names of what the value lies in.
    """
    first = error.errors(include_url=False)[0]
    place = ".".join([*above, *map(str, first["loc"])])[:200]
    return f"{place}: {first['msg']}" if place else first["msg"]


def _check_emotion(name: str, judge: Mapping[str, Any]) -> None:
    for key, counts in judge["confusion"].items():
        _check_square(f"the confusion {key} of the judge {name}", counts, len(judge["labels"]))
    for condition, ceiling in judge.get("ceilings", {}).items():
        if not 0 <= ceiling <= 1:
            raise ValueError(f"the judge {name} has the ceiling {ceiling} under {condition}")
    if judge.get("calibration"):
        for needed in ("chance", "temperature"):
            if needed not in judge:
                raise ValueError(f"the judge {name} has a calibration and no {needed}")
        if LEFT_OUT not in judge["calibration"]:
            raise ValueError(f"the judge {name} has no calibration on the clips {LEFT_OUT}")


def _check_agreement(agreement: Mapping[str, Any]) -> None:
    for key, agreed in (*agreement["truth"].items(), *agreement["rows"].items()):
        _check_square(f"the agreement under {key}", agreed["counts"], len(agreed["counts"]))


def _check_square(what: str, counts: Sequence[Sequence[int]], size: int) -> None:
    if len(counts) != size or any(len(row) != size or min(row, default=0) < 0 for row in counts):
        raise ValueError(f"{what} is no table of {size} x {size} counts")
