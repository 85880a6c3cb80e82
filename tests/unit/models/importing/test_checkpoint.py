"""Files that somebody brought: right ones are read, and no other does anything but be refused."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import InputError
from models.importing.checkpoint import read_npy, read_tensors
from models.importing.names import Entry

KEYS = {
    "layer.weight": Entry((3, 4), "ours.weight"),
    "layer.bias": Entry((3,), "ours.bias"),
    "norm.num_batches_tracked": Entry((), "count", needed=False),
    "old.weight": Entry((5,), None, needed=False),
}
OTHER = {"encoder.weight": Entry((2, 2), "w"), "encoder.bias": Entry((2,), "b")}
KINDS = {"layers": KEYS, "encoder": OTHER}


def state() -> dict[str, torch.Tensor]:
    return {"layer.weight": torch.arange(12.0).reshape(3, 4), "layer.bias": torch.ones(3)}


def read(path: Path) -> dict[str, torch.Tensor]:
    return read_tensors(path, KEYS, KINDS)


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def save(request, tmp_path):
    def write(content: object, name: str = "weights.pth") -> Path:
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=request.param)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        OrderedDict,
        lambda s: {"epoch": 3, "train_step": 7, "model": s},
        lambda s: {f"module.{name}": tensor for name, tensor in s.items()},
        lambda s: {name: torch.nn.Parameter(tensor) for name, tensor in s.items()},
        lambda s: {name: tensor.double() for name, tensor in s.items()},
        lambda s: s | {"norm.num_batches_tracked": torch.tensor(9), "old.weight": torch.zeros(5)},
    ],
    ids=["dict", "ordered", "wrapped", "data parallel", "parameters", "double", "with all names"],
)
def test_a_state_dictionary_is_read(save, wrap) -> None:
    got = read(save(wrap(state())))
    for name, tensor in state().items():
        torch.testing.assert_close(got[name].float(), tensor, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer.bias"), r"1 tensors are missing \(layer.bias\)"),
        (lambda s: s.update(extra=torch.ones(1)), r"1 are unknown \(extra\)"),
        (
            lambda s: s.update({"layer.bias": torch.ones(4)}),
            r"layer.bias has the shape \(4,\); expected \(3,\)",
        ),
        (lambda s: s.update({"layer.bias": torch.ones(1).expand(10**12)}), r"shape \(1000000000000,\)"),
        (lambda s: s.update({"layer.bias": torch.ones(3, dtype=torch.int64)}), "int64; expected floating"),
        (lambda s: s.update({"layer.bias": torch.ones(3, dtype=torch.complex64)}), "expected floating"),
        (lambda s: s.update({"layer.bias": torch.ones(3).to_sparse()}), "no plain tensor"),
        (lambda s: s.update({"layer.bias": [1.0, 2.0, 3.0]}), "no plain tensor"),
        (lambda s: s.update({"layer.bias": torch.tensor([1, float("nan"), 0])}), "NaN or infinity"),
        (lambda s: s.update({"norm.num_batches_tracked": torch.tensor(1.5)}), "expected a whole number"),
        (lambda s: s.update({"a\x1b[31m\nb" * 999: torch.ones(1)}), r"unknown \(a\?\[31m\)"),
    ],
)
def test_other_tensors_are_refused_by_name(save, change, message: str) -> None:
    content = state()
    change(content)
    with pytest.raises(InputError, match=message) as refused:
        read(save(content))
    assert len(str(refused.value)) < 600
    assert "\n" not in str(refused.value)


def test_what_the_file_looks_like_is_said(save) -> None:
    with pytest.raises(InputError, match="it looks like 'encoder'"):
        read(save({"module.encoder.weight": torch.ones(2, 2), "module.encoder.bias": torch.ones(2)}))


@pytest.mark.parametrize("content", [[1, 2], {}, {3: torch.ones(1)}, "text", torch.ones(3), None], ids=repr)
def test_no_state_dictionary(save, content) -> None:
    with pytest.raises(InputError, match="no state dictionary"):
        read(save(content))


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def payloads(canary: Path) -> dict[str, object]:
    touch = f"open({str(canary)!r}, 'w').close()"
    pickled = pickle.dumps(Call(os.system, f"touch {canary}"))
    return {
        "os.system": Call(os.system, f"touch {canary}"),
        "os.mkdir": Call(os.mkdir, str(canary)),
        "exec": Call(exec, touch),
        "eval": Call(eval, f"__import__('os').mkdir({str(canary)!r})"),
        "open": Call(open, str(canary), "w"),
        "import": Call(__import__, "antigravity"),
        "getattr": Call(getattr, Path, "touch"),
        "subprocess": Call(subprocess.check_output, ["touch", str(canary)]),
        "pickle.loads": Call(pickle.loads, pickled),
        "torch.load": Call(torch.load, str(canary), None, None),
        "numpy.load": Call(np.load, str(canary), None, True),
        "np.save": Call(np.save, str(canary), 1),
        "torch.save": Call(torch.save, 1, str(canary)),
        "path.touch": Call(Path.touch, canary),
        "zipfile": Call(zipfile.ZipFile, str(canary), "w"),
    }


@pytest.mark.parametrize("name", sorted(payloads(Path("x"))))
@pytest.mark.parametrize("place", ["alone", "beside", "inside"])
def test_code_is_never_executed(save, tmp_path, name: str, place: str) -> None:
    canary = tmp_path / "canary"
    hostile = payloads(canary)[name]
    content = {
        "alone": hostile,
        "beside": {**state(), "layer.bias": hostile},
        "inside": {"model": state(), "epoch": [hostile]},
    }[place]
    path = save(content)
    with pytest.raises(InputError, match=r"weights\.pth .*nothing in it was executed"):
        read(path)
    assert not canary.exists()


def test_a_script_module_is_refused(tmp_path) -> None:
    path = tmp_path / "weights.pth"
    torch.jit.save(torch.jit.script(torch.nn.Linear(4, 3)), str(path))
    with pytest.raises(InputError):
        read(path)


def test_what_is_no_checkpoint(tmp_path) -> None:
    path = tmp_path / "weights.pth"
    with pytest.raises(InputError, match="missing"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        read(path)
    path.write_text("<html>404</html>")
    with pytest.raises(InputError, match="no torch checkpoint"):
        read(path)
    np.save(tmp_path / "weights.npy", np.ones(3))
    with pytest.raises(InputError, match=r"an \.npy file"):
        read(tmp_path / "weights.npy")
    with zipfile.ZipFile(tmp_path / "test.zip", "w") as archive:
        archive.writestr("weights.pth", b"x")
    with pytest.raises(InputError, match="unpack it"):
        read(tmp_path / "test.zip")
    with pytest.raises(InputError, match="no file"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no file"):
        read(tmp_path / "pipe")
    path.write_bytes(pickle.dumps(state()))
    with pytest.raises(InputError, match=r"damaged|refused"):
        read(path)


def test_a_file_cut_anywhere_is_refused(save) -> None:
    path = save(state())
    whole = path.read_bytes()
    for cut in np.linspace(1, len(whole) - 1, 60).astype(int):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError):
            read(path)


def test_a_flipped_byte_is_refused_or_changes_a_number_only(save) -> None:
    rng = np.random.default_rng(0)
    path = save(state())
    whole = path.read_bytes()
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(damaged))
        try:
            got = read(path)
        except InputError:
            refused += 1
        else:
            assert {name: tuple(x.shape) for name, x in got.items()} == {
                "layer.weight": (3, 4),
                "layer.bias": (3,),
            }
    assert refused > 10


READ_ALL = """
import resource, sys
from pathlib import Path
from models.errors import InputError
from models.importing.checkpoint import read_tensors
from models.importing.names import Entry

keys = {"layer.weight": Entry((3, 4), "ours.weight")}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        read_tensors(Path(path), keys, {})
        print(path, "was read")
    except InputError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_bombs_are_refused_before_they_are_unpacked(tmp_path) -> None:
    """In a process of its own, whose memory hardly grows."""
    compressed, sparse, crowded, claims, legacy = (tmp_path / f"{k}.pth" for k in range(5))
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", pickle.dumps({}))
        with archive.open("bomb/data/0", "w", force_zip64=True) as member:
            for _ in range(500):
                member.write(bytes(2**20))
    with sparse.open("wb") as file:
        file.truncate(10**12)
    with zipfile.ZipFile(crowded, "w") as archive:
        for k in range(200):
            archive.writestr(f"bomb/{k}/data.pkl", b"")
    for path, zipped in ((claims, True), (legacy, False)):
        torch.save({"layer.weight": torch.arange(77_777.0)}, path, _use_new_zipfile_serialization=zipped)
        path.write_bytes(path.read_bytes().replace(struct.pack("<I", 77_777), struct.pack("<I", 2**31 - 1)))
    files = [str(path) for path in (compressed, sparse, crowded, claims, legacy)]
    root = Path(__file__).parents[4]
    told = subprocess.run(
        [sys.executable, "-c", READ_ALL, *files], capture_output=True, text=True, cwd=root, timeout=120
    )
    *lines, grown = told.stdout.splitlines()
    for line, reason in zip(
        lines, ["compressed", "another file", "200 members", "damaged", "damaged"], strict=True
    ):
        assert reason in line, told.stdout + told.stderr
    assert int(grown) < 200


def test_a_member_that_claims_more_than_there_is_is_refused(tmp_path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(state(), path)
    damaged = bytearray(path.read_bytes())
    at = damaged.find(b"PK\x01\x02")
    struct.pack_into("<II", damaged, at + 20, 2**31, 2**31)
    path.write_bytes(bytes(damaged))
    with pytest.raises(InputError, match="more than it holds"):
        read(path)


def test_an_old_torch_is_refused(monkeypatch, tmp_path) -> None:
    torch.save(state(), tmp_path / "weights.pth")
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    with pytest.raises(InputError, match=r"install torch 2\.10"):
        read(tmp_path / "weights.pth")


def test_arrays(tmp_path) -> None:
    path = tmp_path / "mean.npy"
    np.save(path, np.arange(4.0))
    got = read_npy(path, ((4,),))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, [0, 1, 2, 3])
    read_npy(path, ((2, None), (None,)))
    for array, message in [
        (np.ones((2, 4)), r"shape \(2, 4\); expected \(4,\)"),
        (np.ones(4, int), "no .npy file of floats"),
        (np.array([None, 1], object), "no .npy file of floats"),
        (np.array([1.0, np.nan, 0, 0]), "NaN"),
    ]:
        np.save(path, array, allow_pickle=True)
        with pytest.raises(InputError, match=message):
            read_npy(path, ((4,),))
    np.savez(tmp_path / "mean.npz", a=np.ones(4))
    with pytest.raises(InputError, match=r"no \.npy file of floats"):
        read_npy(tmp_path / "mean.npz", ((4,),))
    for text in (
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (4L,",
        b"{'descr': " + b"(" * 30 + b"4L",
        b'"""',
    ):
        header = text.ljust(117) + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        with pytest.raises(InputError, match=r"no \.npy file of floats"):
            read_npy(path, ((None,),))


def test_an_array_that_is_a_program_is_not_executed(tmp_path) -> None:
    canary = tmp_path / "canary"
    np.save(tmp_path / "code.npy", np.array([Call(os.mkdir, str(canary))], object), allow_pickle=True)
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Call(os.mkdir, str(canary))))
    for name in ("code.npy", "raw.npy"):
        with pytest.raises(InputError, match=r"no \.npy file of floats"):
            read_npy(tmp_path / name, ((1,),))
    assert not canary.exists()
