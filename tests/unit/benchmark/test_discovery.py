"""The same files are found whatever the file system, links and leftovers; their ids are one to one."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from benchmark.data import discovery
from benchmark.data.clip_table import recordings_below
from benchmark.data.discovery import find_files, ids_of, printable, stem_of
from benchmark.score.pairing import find_videos
from models.errors import InputError

SUFFIXES = (".mp4", ".wav")
NFC, NFD = unicodedata.normalize("NFC", "Jürgen"), unicodedata.normalize("NFD", "Jürgen")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in find_files(root, SUFFIXES)]


def test_leftovers_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "b.MP4", "a/c.Wav", "a/d.txt")
    touch(
        tmp_path, "._b.mp4", "a/._c.wav", ".hidden/e.mp4", "__MACOSX/b.mp4", ".DS_Store", "Thumbs.db", "mp4"
    )
    touch(tmp_path, "$RECYCLE.BIN/f.mp4", "a/__macosx/c.wav")
    assert names(tmp_path) == ["a/c.Wav", "b.MP4"]


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root, "s1/a.mp4")
    touch(elsewhere, "b.mp4")
    (root / "s2").symlink_to(elsewhere)
    (root / "s3").symlink_to(elsewhere)
    (root / "c.mp4").symlink_to(elsewhere / "b.mp4")
    (root / "s1" / "up").symlink_to(root)
    (root / "s1" / "self").symlink_to("self")
    assert names(root) == ["c.mp4", "s1/a.mp4", "s2/b.mp4", "s3/b.mp4"]


def test_broken_links_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "b.mp4").symlink_to("gone.mp4")
    (tmp_path / "circle.mp4").symlink_to("circle.mp4")
    (tmp_path / "notes").symlink_to("gone")
    with pytest.raises(InputError, match=r"b\.mp4: a broken link to gone\.mp4; .*circle\.mp4: a broken"):
        find_files(tmp_path, SUFFIXES)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match=r"pipe\.mp4: no regular file"):
        find_files(tmp_path, SUFFIXES)


def test_folders_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.mp4", "closed/b.mp4")
    scan = os.scandir

    def refusing(path: Path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(discovery.os, "scandir", refusing)
    with pytest.raises(InputError, match=r"closed: this folder cannot be read \(Permission denied\)"):
        find_files(tmp_path, SUFFIXES)


def test_the_order_is_that_of_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "b.mp4", "a.mp4", "a b.mp4", "a/z.mp4", "A.mp4", "ä.mp4", f"{NFD}.mp4", "Z.wav")
    usual = names(tmp_path)
    scan = os.scandir

    class Backwards(list):
        def __enter__(self):
            return self

        def __exit__(self, *rest: object) -> None:
            pass

    def backwards(path: Path) -> Backwards:
        with scan(path) as entries:
            return Backwards(sorted(entries, key=lambda entry: entry.name, reverse=True))

    monkeypatch.setattr(discovery.os, "scandir", backwards)
    assert names(tmp_path) == usual


def test_a_name_of_other_bytes_is_one_line(tmp_path: Path) -> None:
    try:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    with pytest.raises(InputError, match=r"caf\\xe9\.mp4: its name isn't text in UTF-8") as caught:
        find_videos(tmp_path)
    str(caught.value).encode()
    assert printable(os.fsdecode(b"\xff")) == "\\xff"


@pytest.mark.parametrize(
    "stems",
    [
        ("a (1)", "a [1]", "a -1-", "a--1-"),
        ("a.b", "a_b", "a-b", "a b"),
        ("a/b", "a_b"),
        ("Anna", "anna", "ANNA"),
        ("straße", "strasse"),
        ("?", "!", "-"),
        ("..a", "a"),
    ],
)
def test_ids_are_one_to_one_and_plain(stems: tuple[str, ...]) -> None:
    root = Path("/data")
    paths = [root / f"{stem}.mp4" for stem in stems]
    ids = ids_of(root, paths)
    assert sorted(ids.values()) == sorted(paths)
    assert len({name.casefold() for name in ids}) == len(paths)
    assert ids == ids_of(root, paths[::-1])
    for name in ids:
        assert name == Path(name).name
        assert not name.startswith(".")


def test_ordinary_names_are_their_own_ids() -> None:
    root = Path("/data")
    paths = [root / "s1" / "bbaf2n.mpg", root / "s1" / "x y.mpg", root / "Jürgen.mpg"]
    assert list(ids_of(root, paths)) == ["s1_bbaf2n", "s1_x-y", "Jürgen"]


@pytest.mark.parametrize("pair", [("a.mp4", "a.MOV"), (f"{NFC}.mp4", f"{NFD}.mp4")])
def test_what_differs_only_in_suffix_or_spelling_is_refused(pair: tuple[str, str]) -> None:
    root = Path("/data")
    with pytest.raises(InputError, match="differ only in their suffix or spelling"):
        ids_of(root, [root / name for name in pair])


def test_composed_and_decomposed_names_are_one_pair(tmp_path: Path) -> None:
    touch(tmp_path, f"a/{NFC}.mp4", f"b/{NFD}.mp4")
    assert list(find_videos(tmp_path / "a")) == list(find_videos(tmp_path / "b")) == [NFC]
    assert stem_of(tmp_path, tmp_path / "b" / f"{NFD}.mp4") == f"b/{NFC}"


def test_all_who_look_for_recordings_see_the_same(tmp_path: Path) -> None:
    touch(tmp_path, "s1/a.mp4", "._s1/b.mp4", "__MACOSX/s1/._a.mp4", "s1/._a.mp4")
    assert recordings_below(tmp_path) == [tmp_path / "s1" / "a.mp4"]
    assert list(find_videos(tmp_path)) == ["s1/a"]


def test_long_names_have_ids_that_two_of_which_make_a_file_name() -> None:
    root = Path("/data")
    folders = Path("p" * 120) / ("ü" * 60)
    paths = [root / folders / f"{'x' * 110}{number}.mp4" for number in range(3)]
    ids = ids_of(root, paths)
    assert sorted(ids.values()) == paths
    assert ids == ids_of(root, paths[::-1])
    for name in ids:
        assert 2 * len(name.encode()) + 40 < 255
