"""People in a video: pieces of tracks are put together by person, and one person is chosen.

A detector follows every face from frame to frame for as long as there is no doubt that it is the same
face. Where there is doubt (the face is lost, the picture is cut, two faces meet) the piece ends, and
another one begins. `gather` then joins pieces into people by the look of the face, its place and its size.
Frames in which a person's face cannot be told from somebody else's are missing, never guessed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from models.errors import InputError
from models.landmarks.alignment import similarity
from models.landmarks.topology import IBUG68

NAMED_FACES = ("largest", "left", "right")
DEFAULT_FACE = "largest"

PATCH = 32
"""Side of the patch, in pixels, in which faces are compared."""
PATCH_TEMPLATE = np.array([[10.5, 11.0], [21.5, 11.0], [16.0, 18.0]])
"""Eye a, eye b and nose tip in the patch."""
PATCH_WINDOW = (slice(4, 29), slice(4, 28))
"""Rows and columns of the patch that show the face, not what is behind it."""
SAMPLES = 12
"""Frames of a piece whose looks are kept."""
SAME_LOOK = 6.0
"""Difference of two looks (RMS, CIELAB) up to which they are of one person wherever they are. Nearest looks
of one person were up to 4 apart and of two people 8 to 34 (GRID), 6 to 36 (embedded heads)."""
SAME_PLACE_LOOK = 15.0
"""The same for a face that is seen again where it was lost, within `SHORT_GAP` frames and without a cut."""
SHORT_GAP = 50
"""Frames."""
SHORTEST_SHARE, SHORTEST_FRAMES = 0.1, 5
"""Share of the longest track, and number of frames, under which a face is nobody's."""


@dataclass
class Piece:
    """One face in successive frames."""

    start: int
    points: list[np.ndarray] = field(default_factory=list)
    """(68, 2) for each frame."""
    squares: list[np.ndarray] = field(default_factory=list)
    """Where the detector looked, for each frame; may be left empty."""

    def __len__(self) -> int:
        return len(self.points)

    @property
    def end(self) -> int:
        """The frame after its last one."""
        return self.start + len(self.points)

    def append(self, points: np.ndarray, square: np.ndarray | None = None) -> None:
        self.points.append(points)
        if square is not None:
            self.squares.append(square)

    def drop_last(self, count: int) -> None:
        del self.points[len(self.points) - count :]
        del self.squares[len(self.points) :]


@dataclass(frozen=True)
class Person:
    """The pieces of one person, in the order of time, and what the face looks like.

    `looks` is (samples, rows, columns, 3), empty for a person who is alone in the picture.
    """

    pieces: tuple[Piece, ...]
    looks: np.ndarray

    def landmarks(self, frames: int) -> np.ndarray:
        """(frames, 68, 2) float32, NaN where the person isn't seen."""
        landmarks = np.full((frames, 68, 2), np.nan, np.float32)
        for piece in self.pieces:
            landmarks[piece.start : piece.end] = piece.points
        return landmarks

    @property
    def seen(self) -> int:
        return sum(map(len, self.pieces))


def continued(pieces: Sequence[Piece], faces: Sequence[np.ndarray], index: int) -> list[Piece]:
    """Append the faces (68, 2) of a frame to the pieces that they continue; each other face begins a piece.

    A face continues the nearest piece at its place. Where two faces could continue one piece, none does.

    Returns:
        The pieces that the frame belongs to.
    """
    boxes = [_box(points) for points in faces]
    going: list[Piece] = []
    for box in boxes:
        piece = next((p for p in pieces if same_place(_box(p.points[-1]), box, 0.3)), None)
        rivals = [
            other
            for other in boxes
            if other is not box and piece and same_place(_box(piece.points[-1]), other)
        ]
        if piece is None or rivals or piece.end != index:
            piece = Piece(index)
        going.append(piece)
    for piece, points in zip(going, faces, strict=True):
        piece.append(points)
    return going


def gather(pieces: Sequence[Piece], frames: np.ndarray, cuts: Sequence[int] = ()) -> list[Person]:
    """Join pieces of tracks into people, those who are seen longest first.

    Pairs of groups are joined from the most alike to the least, never two that are seen at the same time.
    A face that is seen briefly, as a false detection is, isn't anybody while a longer one is there.

    Args:
        frames: (time, height, width, 3) uint8 RGB.
        cuts: frames before which the picture changes, so that a face's place doesn't say whose it is.
    """
    pieces = sorted((piece for piece in pieces if len(piece)), key=lambda piece: piece.start)
    if len(pieces) < 2:
        return [Person((piece,), np.empty((0,))) for piece in pieces]
    looks = [_looks(piece, frames) for piece in pieces]
    groups = [{index} for index in range(len(pieces))]
    costs = sorted(
        (cost, a, b)
        for a, b in itertools.combinations(range(len(pieces)), 2)
        if (cost := _cost(pieces[a], pieces[b], look_difference(looks[a], looks[b]), cuts)) < 1
    )
    for _, a, b in costs:
        first = next(group for group in groups if a in group)
        second = next(group for group in groups if b in group)
        if first is not second and not _meet(pieces, first, second):
            groups.remove(second)
            first |= second
    people = [
        Person(tuple(pieces[k] for k in sorted(group)), np.concatenate([looks[k] for k in sorted(group)]))
        for group in groups
    ]
    people.sort(key=lambda person: (-person.seen, person.pieces[0].start))
    least = min(SHORTEST_FRAMES, people[0].seen)
    return [p for p in people if p.seen >= max(least, SHORTEST_SHARE * people[0].seen)]


def _meet(pieces: Sequence[Piece], first: set[int], second: set[int]) -> bool:
    return any(
        pieces[a].start < pieces[b].end and pieces[b].start < pieces[a].end for a in first for b in second
    )


def _cost(first: Piece, second: Piece, difference: float, cuts: Sequence[int]) -> float:
    """How far the second piece is from continuing the first one's person; 1 and more: too far."""
    near = (
        not any(first.end <= cut <= second.start for cut in cuts)
        and 0 <= second.start - first.end <= SHORT_GAP
        and same_place(_box(first.points[-1]), _box(second.points[0]))
    )
    return difference / (SAME_PLACE_LOOK if near else SAME_LOOK)


def _box(points: np.ndarray) -> np.ndarray:
    """(centre x, centre y, side) of landmarks."""
    low, high = points.min(0), points.max(0)
    return np.array([*((low + high) / 2), (high - low).max()])


def same_place(a: np.ndarray, b: np.ndarray, reach: float = 0.5) -> bool:
    """Whether two squares (centre x, centre y, side, ...) mark one face.

    Args:
        reach: distance of the centres, in sides of the larger one, up to which they do.
    """
    side = max(a[2], b[2])
    return bool(np.hypot(*(a[:2] - b[:2])) < side * reach and min(a[2], b[2]) > side / 2)


def look_of(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The face, level and of one size, in CIELAB: (rows, columns, 3) float32."""
    matrix = similarity(IBUG68.stable @ points, PATCH_TEMPLATE)
    x, y, side = _box(points)
    reach = 0.8 * side
    left, top = (int(max(0, np.floor(v - reach))) for v in (x, y))
    right, bottom = (int(np.ceil(v + reach)) + 1 for v in (x, y))
    part = np.ascontiguousarray(frame[top:bottom, left:right])
    if not part.size:
        part, left, top = frame, 0, 0
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    # Averaging over what becomes one pixel of the patch keeps noise and aliasing out of the comparison.
    blur = max(0.3, 0.5 / np.hypot(matrix[0, 0], matrix[1, 0]))
    part = cv2.GaussianBlur(part, (0, 0), blur)
    patch = cv2.warpAffine(
        part, matrix, (PATCH, PATCH), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return cv2.cvtColor(patch[PATCH_WINDOW].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _looks(piece: Piece, frames: np.ndarray) -> np.ndarray:
    """(samples, rows, columns, 3) looks of frames that are evenly spread over a piece.

    Its ends are left out: there a face may be half hidden by another one.
    """
    places = np.unique((np.linspace(0.1, 0.9, SAMPLES) * (len(piece) - 1)).round().astype(int))
    return np.stack([look_of(frames[piece.start + k], piece.points[k]) for k in places])


def look_difference(first: np.ndarray, second: np.ndarray) -> float:
    """RMS difference of the two most alike of some looks (n, rows, columns, 3) and others."""
    pairs = first[:, None] - second[None]
    return float(np.sqrt((pairs**2).sum(-1).mean((2, 3))).min())


def unmistaken(person: Person, others: Sequence[Person], frames: np.ndarray) -> np.ndarray:
    """Return (frames,) False where a person's face looks unlike that person, and more like another one."""
    clear = np.ones(len(frames), bool)
    for piece, place in _places(person):
        look = look_of(frames[place], piece.points[place - piece.start])[None]
        difference = look_difference(look, person.looks)
        if difference > SAME_LOOK:
            clear[place] = all(difference <= look_difference(look, other.looks) for other in others)
    return clear


def _places(person: Person) -> Iterator[tuple[Piece, int]]:
    for piece in person.pieces:
        for place in range(piece.start, piece.end):
            yield piece, place


def check_face(face: str | int) -> str | int:
    """The rule that says which face is followed: `largest`, `left`, `right`, or a number from the left.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(face, str) and face.strip().isascii() and face.strip().isdigit():
        face = int(face)
    if face in NAMED_FACES or (isinstance(face, int) and not isinstance(face, bool) and face >= 1):
        return face
    raise InputError(
        f"face: expected {', '.join(NAMED_FACES)} or a number from 1, counted from the left, got {face!r}"
    )


def choose(
    people: Sequence[Person], face: str | int, frames: int, near: np.ndarray | None
) -> tuple[int, str]:
    """Return the index of the person that is followed, and in words why and where that person is.

    Args:
        people: in any order, one or more.
        face: see `check_face`. The largest is the one whose face fills most of the picture over all frames.
        near: (time, 68, 2) where the same person is in a video of the same scene, in pixels of this one; it
            comes before the rule where one of the people is there.

    Raises:
        InputError: a number beyond the people that there are.
    """
    tracks = [person.landmarks(frames) for person in people]
    boxes = [np.array([_box(points) for points in track if np.isfinite(points).all()]) for track in tracks]
    order = sorted(range(len(people)), key=lambda k: float(np.median(boxes[k][:, 0])))
    rule = "the largest" if face == "largest" else f"face={face}"
    if near is not None and (nearest := _nearest(tracks, near)) is not None:
        chosen, rule = nearest, "the one at the place of the other video's"
    elif face == "largest":
        chosen = max(range(len(people)), key=lambda k: float((boxes[k][:, 2] ** 2).sum()))
    elif isinstance(face, str):
        chosen = order[0] if face == "left" else order[-1]
    elif face > len(people):
        raise InputError(
            f"face {face} of the people from the left is asked for, but {counted(len(people))} seen"
        )
    else:
        chosen = order[face - 1]
    return chosen, f"{rule}, number {order.index(chosen) + 1} from the left"


def counted(people: int) -> str:
    return "one person is" if people == 1 else f"{people} people are"


def _nearest(tracks: Sequence[np.ndarray], near: np.ndarray) -> int | None:
    """The track that lies where `near` does; None where none is within half a face of it."""
    frames = min(len(near), len(tracks[0]))
    distances = []
    for track in tracks:
        both = np.isfinite(track[:frames]).all((1, 2)) & np.isfinite(near[:frames]).all((1, 2))
        pairs = [(_box(a), _box(b)) for a, b in zip(track[:frames][both], near[:frames][both], strict=True)]
        away = [np.hypot(*(a[:2] - b[:2])) / b[2] for a, b in pairs]
        distances.append(float(np.median(away)) if away else np.inf)
    best = int(np.argmin(distances))
    return best if distances[best] < 0.5 else None
