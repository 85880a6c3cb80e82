"""The face model's pickle: what NumPy writes is read, what anything else writes is refused and not run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.artefacts import ArtefactError
from models.face3d import bfm
from models.face3d.pickled_arrays import read_arrays
from models.landmarks.topology import POINTS_68_IN_106

ARRAYS = {
    "base": np.arange(12, dtype=np.float32).reshape(3, 4) - 0.1,
    "weight": np.asfortranarray(np.random.default_rng(0).normal(size=(3, 4, 5))),
    "half": np.arange(3, dtype=">f2"),
}


def write(folder: Path, data: bytes) -> Path:
    path = folder / "base_weight.pickle"
    path.write_bytes(data)
    return path


def by_numpy(core: str, protocol: int) -> bytes:
    """`ARRAYS` pickled under the module names of NumPy 1 ("core") or 2 ("_core")."""
    written = pickle.dumps(ARRAYS, protocol)
    for module in ("multiarray", "numeric"):
        names = [f"numpy.{c}.{module}".encode() for c in ("core", "_core")]
        new = f"numpy.{core}.{module}".encode()
        for old in names:
            written = written.replace(b"c" + old + b"\n", b"c" + new + b"\n")
            written = written.replace(bytes([0x8C, len(old)]) + old, bytes([0x8C, len(new)]) + new)
    return written


@pytest.mark.parametrize("core", ["core", "_core"], ids=["numpy1", "numpy2"])
@pytest.mark.parametrize("protocol", range(6))
def test_what_numpy_writes_is_read(tmp_path: Path, protocol: int, core: str) -> None:
    written = by_numpy(core, protocol)
    assert f"numpy.{core}.".encode() in written
    found = read_arrays(write(tmp_path, written), 10**6)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("protocol", range(6))
def test_what_this_numpy_writes_is_read(tmp_path: Path, protocol: int) -> None:
    found = read_arrays(write(tmp_path, pickle.dumps(ARRAYS, protocol)), 10**6)
    np.testing.assert_array_equal(found["weight"], ARRAYS["weight"])


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    """Protocol 2 of Python 2: bytes are BINSTRINGs."""
    data = np.array([1.5, -2.0], "<f4").tobytes()
    program = (
        b"\x80\x02}U\x04base"
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x08" + data + b"tbs."
    )
    np.testing.assert_array_equal(read_arrays(write(tmp_path, program), 10**6)["base"], [1.5, -2])


CANARY = "canary"


class _Hostile:
    def __init__(self, make: Callable[[Path], tuple], folder: Path) -> None:
        self.what = make(folder)

    def __reduce__(self):
        return self.what


def _touch(folder: Path) -> tuple:
    return Path.touch, (folder / CANARY,)


def _open(folder: Path) -> tuple:
    return open, (str(folder / CANARY), "w")


def _evaluate(folder: Path) -> tuple:
    return eval, (f"open({str(folder / CANARY)!r}, 'w')",)


def _load_numpy(folder: Path) -> tuple:
    return np.save, (str(folder / CANARY), [1.0])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("make", [_touch, _open, _evaluate, _load_numpy])
@pytest.mark.parametrize("where", ["alone", "value", "key", "in_array"])
def test_a_hostile_file_is_refused_and_not_run(tmp_path: Path, make, protocol: int, where: str) -> None:
    canary = _Hostile(make, tmp_path)
    held = {
        "alone": canary,
        "value": {"base": canary},
        "key": ARRAYS | {("base", canary): 1},
        "in_array": {"base": np.array([canary], object)},
    }[where]
    with pytest.raises(ArtefactError, match="nothing in it was executed"):
        read_arrays(write(tmp_path, pickle.dumps(held, protocol)), 10**6)
    assert not list(tmp_path.glob(f"{CANARY}*"))
    pickle.loads(pickle.dumps(canary, protocol))
    assert list(tmp_path.glob(f"{CANARY}*")), "the canary must be able to sing"


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, protocol: int) -> None:
    whole = pickle.dumps(ARRAYS, protocol)
    for length in range(0, len(whole), 7):
        with pytest.raises(ArtefactError):
            read_arrays(write(tmp_path, whole[:length]), 10**6)


def test_a_file_with_a_flipped_byte_never_raises_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for protocol in (0, 2, 5):
        whole = bytearray(pickle.dumps(ARRAYS, protocol))
        for _ in range(100):
            spoiled = bytearray(whole)
            spoiled[rng.integers(len(spoiled))] = rng.integers(256)
            try:
                read_arrays(write(tmp_path, bytes(spoiled)), 10**6)
            except ArtefactError:
                continue


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (b"", "no end|pickle exhausted"),
        (b".", "pop"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", None),  # a memo index of two billion: nothing is allocated for it
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "expected"),
        (b"\x80\x02" + b"N0" * 5000 + b".", "opcodes|POP"),
        (b"\x80\x02" + b"N" * 5000 + b".", "opcodes"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"Pid\n.", "PERSID"),
        (b"(ios\nsystem\n.", "INST"),
        (b"\x80\x02)\x81.", "NEWOBJ"),
        (b"\x80\x02}}U\x01ab.", "state"),
        (b"\x80\x02(K\x01t.", "tuple, no dictionary"),
        (pickle.dumps({"base": [1.0]}), "opcode EMPTY_LIST"),
        (pickle.dumps({"base": 1.0}), "opcode BINFLOAT"),
        (pickle.dumps({"base": 1}), "a int, no array"),
        (pickle.dumps({1: np.zeros(2)}), "key"),
        (pickle.dumps({"base": np.zeros(2, np.int32)}), "i4"),
        (pickle.dumps({"base": np.zeros(2, "f4,f4")}), "dictionary"),
        (pickle.dumps({"base": np.zeros(2, np.complex64)}), "c8"),
    ],
)  # fmt: skip
def test_other_programs_are_refused(tmp_path: Path, program: bytes, why: str | None) -> None:
    if why is None:
        assert read_arrays(write(tmp_path, program), 10**6) == {}
        return
    with pytest.raises(ArtefactError, match=why):
        read_arrays(write(tmp_path, program), 10**6)


def test_a_key_that_takes_for_ever_to_hash_takes_no_time(tmp_path: Path) -> None:
    nested: object = ()
    for _ in range(200):
        nested = (nested, nested)
    with pytest.raises(ArtefactError, match="key"):
        read_arrays(write(tmp_path, _dump_with_key(nested)), 10**6)


def test_a_name_that_is_no_text_is_refused_before_it_is_hashed(tmp_path: Path) -> None:
    nested: object = ()
    for _ in range(200):
        nested = (nested, nested)
    body = pickle.dumps(nested, 4)[:-1]
    with pytest.raises(ArtefactError, match="without a name"):
        read_arrays(write(tmp_path, body + b"\x8c\x01x\x93."), 10**6)


def _dump_with_key(key: object) -> bytes:
    """{key: None} written without hashing the key."""
    body = pickle.dumps(key, 2)
    return body[:2] + b"}" + body[2:-1] + b"Ns."


def test_arrays_of_a_wrong_size_are_refused(tmp_path: Path) -> None:
    whole = pickle.dumps({"base": np.zeros(3, "f4")}, 2)
    program = whole.replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85")
    assert program != whole
    with pytest.raises(ArtefactError, match="reshape"):
        read_arrays(write(tmp_path, program), 10**6)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    monkeypatch.setattr(bfm, "VERTICES", 4)
    monkeypatch.setattr(bfm, "SHAPES", 3)
    monkeypatch.setattr(bfm, "EXPRESSIONS", 2)
    return {name: ARRAYS[name] for name in ("base", "weight")}


def test_conversion_keeps_the_arrays(tmp_path: Path, small) -> None:
    source = write(tmp_path, pickle.dumps(small, 4))
    read = bfm.load(bfm.convert(source, tmp_path / "bfm.safetensors"))
    np.testing.assert_array_equal(read.base, small["base"])
    np.testing.assert_array_equal(read.weight, small["weight"].astype(np.float32))
    assert read.weight.dtype == np.float32


def test_other_arrays_are_refused(tmp_path: Path, small) -> None:
    for wrong in (
        {"base": small["base"]},
        small | {"extra": small["base"]},
        small | {"base": small["base"].T},
        small | {"base": small["base"] * np.inf},
    ):
        with pytest.raises(ArtefactError, match="expected"):
            bfm.read_base_weight(write(tmp_path, pickle.dumps(wrong)))
    with pytest.raises(ArtefactError, match="missing"):
        bfm.read_base_weight(tmp_path / "none.pickle")
    path = write(tmp_path, b"")
    with path.open("wb") as file:
        file.truncate(bfm.MAX_BYTES + 1)
    with pytest.raises(ArtefactError, match="at most"):
        bfm.read_base_weight(path)


def test_the_vertices_are_those_of_the_106_points() -> None:
    vertices = bfm.LANDMARKS_106
    assert len(vertices) == 106
    assert max(vertices) < bfm.VERTICES
    assert (vertices[104], vertices[105]) == (vertices[74], vertices[77]), "pupils are the eyes' centres"
    assert len(set(vertices[:104])) == 104
    ibug = [vertices[k] for k in POINTS_68_IN_106]
    contour = (21873, 22149, 21653, 21036, 43236, 44918, 46166, 47135, 47914)
    assert tuple(ibug[:9]) == contour, "every other contour point, from the ear to the chin"
    assert ibug[27:31] == [8161, 8177, 8187, 8192], "the ridge of the nose, down to its tip"
    assert (ibug[36], ibug[45], ibug[48], ibug[54]) == (2215, 14066, 5522, 10795), (
        "outer corners of eyes and mouth"
    )
