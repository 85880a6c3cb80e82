"""Outputs: refused before the work where they cannot be written, and never half there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import InputError, StorageError
from models.files import (
    check_output_file,
    check_output_folder,
    copy_file,
    filled_folder,
    publish_folder,
    replace_text,
    replacing,
    write_output,
)


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_what_can_be_written_is_let_through_and_left_alone(tmp_path):
    link = tmp_path / "link"
    (tmp_path / "there").mkdir()
    link.symlink_to("there")
    (tmp_path / "old.txt").write_text("old")
    before = sorted(tmp_path.rglob("*"))
    for folder in (tmp_path, tmp_path / "a" / "b", link, link / "c", tmp_path / "out:1"):
        check_output_folder(folder, "--out")
    for path in (tmp_path / "new.txt", tmp_path / "old.txt", Path("/dev/null"), tmp_path / "a:1.mp4"):
        check_output_file(path, "-o")
    check_output_file(tmp_path / "a" / "b.txt", "--page", make_folders=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "old.txt").read_text() == "old"


def test_what_is_no_folder_or_no_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for folder in ("file", "file/below", "dangling", "dangling/below", "loop"):
        with pytest.raises(InputError, match="--out: "):
            check_output_folder(tmp_path / folder, "--out")
    for path in (tmp_path, tmp_path / "none" / "a.txt", tmp_path / "dangling", tmp_path / "file" / "a"):
        with pytest.raises(InputError, match="-o: "):
            check_output_file(path, "-o")


def test_places_where_nobody_can_write_are_a_storage_fault():
    for folder in ("/proc/self/none", "/sys/none"):
        with pytest.raises(StorageError, match="nothing can be written"):
            check_output_folder(Path(folder), "--out")
    with pytest.raises(StorageError):
        check_output_file(Path("/proc/version"), "-o")


@pytest.mark.skipif(os.geteuid() == 0, reason="permission bits mean nothing to root")
def test_permission_bits(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        check_output_folder(tmp_path / "closed", "--out")


def run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def mount(tmp_path):
    """Mount something on a new folder below tmp_path; skips where that is not allowed."""
    mounted: list[Path] = []

    def mount(name: str, *arguments: str) -> Path:
        place = tmp_path / name
        place.mkdir()
        if not run("mount", *arguments, str(place)):
            pytest.skip("mounting needs root")
        mounted.append(place)
        return place

    yield mount
    for place in reversed(mounted):
        run("umount", str(place))


def test_a_full_disk_and_a_read_only_one_are_named(mount):
    full = mount("full", "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    with pytest.raises(OSError, match="No space left"):
        (full / "all").write_bytes(bytes(100_000))
    with pytest.raises(StorageError, match=f"--out: no space left in {full}"):
        check_output_folder(full / "new", "--out")
    fixed = mount("fixed", "-t", "tmpfs", "-o", "ro", "tmpfs")
    with pytest.raises(StorageError, match="Read-only file system"):
        check_output_folder(fixed, "--out")


def test_a_mount_point_is_filled(mount):
    place = mount("mounted", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    for text in ("one", "two"):
        with filled_folder(place, last="index.html") as fresh:
            (fresh / "index.html").write_text(text)
        assert contents(place) == {"index.html": text}


def test_an_immutable_file_is_refused(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("fixed")
    if not run("chattr", "+i", str(path)):
        pytest.skip("chattr +i needs root and a file system that has it")
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            check_output_file(path, "readme")
    finally:
        run("chattr", "-i", str(path))


def test_a_folder_is_filled_file_by_file_the_named_one_last(tmp_path, monkeypatch):
    target = tmp_path / "link"
    (tmp_path / "real").mkdir()
    target.symlink_to("real")
    order: list[str] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: (order.append(to.name), replace(self, to))[1])
    for number, extra in enumerate(("old", "new")):
        with filled_folder(target, last="index.html", prune=True) as fresh:
            (fresh / "tables").mkdir()
            (fresh / "tables" / f"{extra}.csv").write_text(extra)
            (fresh / "index.html").write_text(str(number))
    assert target.is_symlink()
    assert contents(tmp_path / "real") == {"tables/new.csv": "new", "index.html": "1"}
    assert order == ["old.csv", "index.html", "new.csv", "index.html"]


def fail_halfway(target: Path) -> None:
    with filled_folder(target, last="a") as fresh:
        (fresh / "a").write_text("new")
        raise ValueError("half")


def test_a_failure_leaves_what_was_there(tmp_path):
    with pytest.raises(ValueError, match="half"):
        fail_halfway(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("old")
    with pytest.raises(ValueError, match="half"):
        fail_halfway(tmp_path / "out")
    assert contents(tmp_path / "out") == {"a": "old"}


def test_a_file_is_replaced_and_a_link_to_one_stays_a_link(tmp_path):
    (tmp_path / "real.md").write_text("old")
    (tmp_path / "link.md").symlink_to("real.md")
    write_output(tmp_path / "link.md", "new")
    write_output(tmp_path / "a" / "b.md", "new")
    write_output(Path("/dev/null"), "new")
    assert (tmp_path / "link.md").is_symlink()
    assert contents(tmp_path) == {"real.md": "new", "link.md": "new", "a/b.md": "new"}


def test_a_writer_removes_what_killed_ones_left_and_nothing_of_living_ones(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from models import files\n"
        "files.os.fsync = lambda descriptor: (print('half', flush=True), sys.stdin.read(), os._exit(9))\n"
        "files.replace_text(Path('a [1].txt'), 'new')\n"
    )
    source = Path(__file__).parents[3]
    writer = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(source)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    replace_text(tmp_path / "a [1].txt", "old")
    assert len(list(tmp_path.iterdir())) == 2
    writer.communicate()
    assert len(list(tmp_path.iterdir())) == 2
    copy_file(tmp_path / "a [1].txt", tmp_path / "b.txt")
    replace_text(tmp_path / "a [1].txt", "new")
    assert contents(tmp_path) == {"a [1].txt": "new", "b.txt": "old"}


def test_a_name_as_long_as_can_be_is_written_and_a_longer_one_refused_before(tmp_path):
    path = tmp_path / f"{'x' * 251}.txt"
    check_output_file(path, "-o")
    write_output(path, "new")
    copy_file(path, path.with_name(f"{'y' * 251}.txt"))
    assert len(contents(tmp_path)) == 2
    with pytest.raises(OSError, match="File name too long"):
        check_output_file(tmp_path / f"{'x' * 252}.txt", "-o")


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with replacing(tmp_path / "a") as first, replacing(tmp_path / "a") as second:
        first.write_text("first")
        second.write_text("second")
    assert contents(tmp_path) == {"a": "first"}


def test_what_is_renamed_was_flushed_to_the_disk(tmp_path, monkeypatch):
    events: list[tuple[str, str]] = []

    def watch(owner, name: str, path_of) -> None:
        plain = getattr(owner, name)

        def watched(*arguments):
            events.append((name, path_of(arguments[0])))
            return plain(*arguments)

        monkeypatch.setattr(owner, name, watched)

    watch(os, "fsync", lambda descriptor: Path(f"/proc/self/fd/{descriptor}").readlink().name)
    watch(Path, "replace", lambda path: path.name)
    watch(Path, "rename", lambda path: path.name)
    (tmp_path / "a").write_text("a")
    copy_file(tmp_path / "a", tmp_path / "b")
    with filled_folder(tmp_path / "filled", last="c") as fresh:
        (fresh / "c").write_text("c")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "d").write_text("d")
    publish_folder(tmp_path / "work", tmp_path / "done")
    (_, copy), *_ = events
    assert events == [
        ("fsync", copy),
        ("replace", copy),
        ("fsync", "c"),
        ("replace", "c"),
        ("fsync", "d"),
        ("fsync", "work"),
        ("rename", "work"),
        ("fsync", tmp_path.name),
    ]
