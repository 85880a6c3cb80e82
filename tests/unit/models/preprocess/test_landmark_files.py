"""Landmark files are read right or refused in one line by name; nothing in them is executed or allocated."""

from __future__ import annotations

import datetime
import io
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from models.errors import InputError
from models.preprocess.faces import Given
from models.preprocess.landmark_files import read_landmarks
from tests.conftest import ROOT

FRAMES = 3
LANDMARKS = np.random.default_rng(0).uniform(0, 300, (FRAMES, 68, 2)).round(3)
LANDMARKS[1] = np.nan
WHOLE = np.where(np.isnan(LANDMARKS), LANDMARKS[:1], LANDMARKS)
ROWS = LANDMARKS.reshape(FRAMES, -1)


def table(separator: str, *, head: str = "", end: str = "\n", missing: str = "nan") -> bytes:
    lines = [separator.join(missing if np.isnan(v) else f"{v:.3f}" for v in row) for row in ROWS]
    return (head + end.join(lines) + end).encode()


def npy(array: np.ndarray, **how) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H" if version[0] == 1 else "<I", len(text)) + text.encode()


XY = ",".join(f"{axis}_{k}" for k in range(68) for axis in "xy")
XXYY = ROWS[:, [*range(0, 136, 2), *range(1, 136, 2)]]
XXYY_HEAD = ", ".join(f"{axis}_{k}" for axis in "xy" for k in range(68)) + "\n"

READ = {
    "npy.npy": npy(LANDMARKS),
    "flat.npy": npy(ROWS),
    "float16.npy": npy(WHOLE.astype(np.float16)),
    "fortran.npy": npy(np.asfortranarray(LANDMARKS)),
    "big-endian.npy": npy(LANDMARKS.astype(">f8")),
    "integers.npy": npy(WHOLE.astype(np.int32)),
    "upper.NPY": npy(LANDMARKS),
    "comma.csv": table(","),
    "blank.csv": table(" "),
    "blank.txt": table(" "),
    "comma.txt": table(","),
    "comma and blank.txt": table(", "),
    "tab.txt": table("\t"),
    "semicolon.csv": table(";"),
    "bom.csv": b"\xef\xbb\xbf" + table(","),
    "bom.txt": b"\xef\xbb\xbf" + table(" "),
    "utf-16.csv": table(",").decode().encode("utf-16"),
    "windows.csv": table(",", end="\r\n"),
    "old mac.csv": table(",", end="\r"),
    "trailing.csv": table(",", end=",\n"),
    "head.csv": table(",", head=XY + "\n"),
    "bom and head.csv": b"\xef\xbb\xbf" + table(",", head=XY + "\n"),
    "empty fields.csv": table(",", missing=""),
    "comment.txt": b"# 68 points\n\n" + table(" "),
    "x before y.csv": (XXYY_HEAD + "\n".join(",".join(map(str, row)) for row in XXYY)).encode(),
}

half, far = LANDMARKS.copy(), LANDMARKS.copy()
half[2, :30], far[2, 5] = np.nan, 1e30
date = np.full((FRAMES, 136), datetime.datetime(2026, 1, 1), "datetime64[s]")
shell = b"\x80\x04cposix\nsystem\n\x8c\x09touch bad\x85R."
zipped = io.BytesIO()
with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("landmarks.npy", npy(np.zeros((2**20, 8))))

REFUSED = {
    "empty.npy": (b"", "cannot be read as landmarks"),
    "empty.csv": (b"", r"shape \(0, 136\); expected \(3, 68, 2\)"),
    "no text.csv": (b"\xff\xd8\xff\xe0" * 40, "no text in UTF-8"),
    "nul.csv": (b"\0" * 400, r"shape \(0, 136\)"),
    "long.csv": (b"1," * 2**20, "line 1: longer than 136 numbers can be"),
    "short row.csv": (table(",").replace(b"\n", b",1\n", 1), "line 1: 137 columns; expected 136"),
    "2 columns.txt": (b"1 2\n" * 204, "line 1: 2 columns; expected 136"),
    "3 columns.txt": (b"1 2 3\n" * 204, "line 1: 3 columns; expected 136"),
    "106.csv": (b",".join([b"1"] * 212), "line 1: 212 columns"),
    "index.csv": (b",".join([b"1"] * 137), "line 1: 137 columns"),
    "word.csv": (table(",", missing="none"), "line 2: 'none' is no number"),
    "underscore.csv": (table(",", missing="1_0"), "line 2: '1_0' is no number"),
    "decimal comma.csv": (table(";").replace(b".", b","), "both semicolons and commas"),
    "more rows.csv": (table(",") * 2, r"shape \(6, 136\)"),
    "fewer rows.txt": (table(" ").split(b"\n")[0], r"shape \(1, 136\)"),
    "two heads.csv": (table(",", head=XY + "\n" + XY + "\n"), "line 2: 'x_0' is no number"),
    "half.npy": (npy(half), "frame 2 lacks some points only"),
    "far.npy": (npy(far), "frame 2 has a point farther than 100000 pixels"),
    "far.csv": (table(",", missing="1e30"), "frame 1 has a point farther"),
    "huge.npy": (npy(WHOLE * 1e300), "frame 0 has a point farther"),
    "infinite.npy": (npy(np.full((FRAMES, 68, 2), np.inf)), "infinite in frame 0"),
    "zeros.npy": (npy(np.zeros((FRAMES, 68, 2))), "frame 0 has all points in one place"),
    "complex.npy": (npy(LANDMARKS.astype(complex)), "type complex128; expected real numbers"),
    "date.npy": (npy(date), "type datetime64"),
    "text.npy": (npy(ROWS.astype("U8")), "type <U8"),
    "bytes.npy": (npy(np.zeros((FRAMES, 136), "S4")), r"type \|S4"),
    "bool.npy": (npy(np.ones((FRAMES, 136), bool)), "type bool"),
    "structured.npy": (npy(np.zeros((FRAMES, 136), [("x", "f4"), ("y", "f4")])), "type .*x.*expected real"),
    "void.npy": (npy(np.zeros((FRAMES, 136), "V4")), r"type \|V4"),
    "objects.npy": (npy(np.full((FRAMES, 136), None), allow_pickle=True), "cannot be read as landmarks"),
    "pickle.npy": (shell, "cannot be read as landmarks"),
    "pickled list.npy": (pickle.dumps([1, 2]), "cannot be read as landmarks"),
    "scalar.npy": (npy(np.array(1.0)), r"shape \(\)"),
    "transposed.npy": (npy(LANDMARKS.transpose(0, 2, 1)), r"shape \(3, 2, 68\)"),
    "truncated.npy": (npy(LANDMARKS)[:-8], "cannot be read as landmarks"),
    "bomb.npy": (
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}\n"),
        "cannot be read",
    ),
    "bomb of shape.npy": (
        header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**12}, 68, 2)}}\n"),
        "cannot be read",
    ),
    "negative.npy": (
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-3, 68, 2)}\n"),
        "cannot be read",
    ),
    "deep header.npy": (header("(" * 5000 + "\n"), "cannot be read"),
    "long header.npy": (header(" " * 30000, b"\x02\x00"), "cannot be read"),
    "no dictionary.npy": (header("__import__('os').system('touch bad')\n"), "cannot be read"),
    "version 9.npy": (b"\x93NUMPY\x09\x00" + npy(LANDMARKS)[8:], "cannot be read"),
    "archive.npy": (zipped.getvalue(), "an archive; expected a single array"),
    "archive.csv": (zipped.getvalue(), "no text in UTF-8"),
    "a.npz": (zipped.getvalue(), r"expected landmarks as \.npy, \.csv, \.txt"),
    "a.pts": (b"version: 1", "expected landmarks as"),
    "a.json": (b"[]", "expected landmarks as"),
}


@pytest.mark.parametrize("name", READ)
def test_what_people_write_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(READ[name])
    landmarks = read_landmarks(tmp_path / name, FRAMES)
    assert landmarks.dtype == np.float32
    expected = WHOLE if name in ("float16.npy", "integers.npy") else LANDMARKS
    np.testing.assert_allclose(landmarks, expected, atol=1 if name == "integers.npy" else 0.2)


def test_frames_without_a_face_in_integers_are_refused_where_all_points_are_zero(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy(np.nan_to_num(LANDMARKS)))
    with pytest.raises(InputError, match="frame 1 has all points in one place; expected NaN"):
        read_landmarks(tmp_path / "a.npy", FRAMES)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_landmark_file_is_named(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, words = REFUSED[name]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_landmarks(path, FRAMES)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300
    assert not (tmp_path / "bad").exists()


def test_a_folder_and_a_sparse_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(InputError, match=r"a\.csv: cannot be read as landmarks: Is a directory"):
        read_landmarks(tmp_path / "a.csv", FRAMES)
    with (tmp_path / "b.npy").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(InputError, match=r"b\.npy: 2048 MB are more than"):
        read_landmarks(tmp_path / "b.npy", FRAMES)


@pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="no /proc to read the largest memory from"
)
def test_bombs_take_no_memory(tmp_path: Path) -> None:
    """The largest files that are read at all: 64 MB of rows, of one row, and of a header's claims."""
    (tmp_path / "rows.csv").write_bytes(table(",") * (60 * 2**20 // len(table(","))))
    (tmp_path / "row.txt").write_bytes(b"1 " * (30 * 2**20))
    (tmp_path / "array.npy").write_bytes(npy(np.zeros(2**22)))
    (tmp_path / "claim.npy").write_bytes(REFUSED["bomb.npy"][0])
    (tmp_path / "header.npy").write_bytes(header("(" * (60 * 2**20), b"\x02\x00"))
    program = (
        "import sys; from pathlib import Path\n"
        "from models.preprocess.landmark_files import read_landmarks\n"
        "from models.errors import InputError\n"
        "peak = lambda: next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmHWM'))\n"
        "before, refused = peak(), 0\n"
        "for path in Path(sys.argv[1]).iterdir():\n"
        "    try: read_landmarks(path, 3)\n"
        "    except InputError: refused += 1\n"
        "print(refused, peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    refused, growth = map(int, done.stdout.split())
    assert refused == 5
    assert growth < 200 * 1024


def test_an_array_comes_before_a_text_beside_a_recording(tmp_path: Path) -> None:
    video = tmp_path / "a.b.mp4"
    (tmp_path / "a.b.NPY").write_bytes(npy(LANDMARKS))
    assert Given().file(video) == tmp_path / "a.b.NPY"
    (tmp_path / "a.b.txt").write_text("a transcript")
    assert Given().file(video) == tmp_path / "a.b.NPY"
    (tmp_path / "c.npz").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"expected c\.npy, c\.csv, c\.txt \(c\.npz is no landmark file that is re"
    ):
        Given().file(tmp_path / "c.mp4")
