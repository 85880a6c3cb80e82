"""Loaders of recorded corpora: what they list, what they refuse, and what they read from real recordings."""

from __future__ import annotations

import errno
import os
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.data.clip_table import main as draft
from benchmark.data.clip_table import read_table
from benchmark.data.corpus import CorpusError, split_corpus
from benchmark.data.emodb import EmoDB, read_xlabel
from benchmark.data.folder import Folder
from benchmark.data.grid import Grid, spoken_words
from benchmark.data.lrw import LRW
from benchmark.data.parametric import Parametric
from benchmark.data.ravdess import Ravdess
from benchmark.data.recordings import fullest_speaker
from benchmark.run import main
from models.errors import StorageError
from models.preprocess.faces import Faces, Given
from models.preprocess.pipeline import Preprocess
from models.types import MEAD_EMOTIONS, Clip
from tests.conftest import SHARED_DATA

needs_recordings = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason=f"no recordings at {SHARED_DATA}")


def sound(path: Path, seconds: float = 0.5, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * 16000))
    soundfile.write(path, noise, 16000)


LABELS = """signal x
nfields 1
#
    0.100   -1 _t
    0.150   -1 !t\t+asp
    0.300   -1 a\t+nas\t1
    0.350   -1 \t-lar
    0.400  125 m
    0.450   -1 .
"""


@pytest.fixture
def emodb(tmp_path: Path) -> EmoDB:
    (tmp_path / "emodb" / "lablaut").mkdir(parents=True)
    for seed, name in enumerate(["03a01Fa", "03a01Wa", "03a01Wb", "03a02Na", "08a01La"]):
        sound(tmp_path / "emodb" / "wav" / f"{name}.wav", seed=seed)
        (tmp_path / "emodb" / "lablaut" / f"{name}xx.lablaut").write_text(LABELS, encoding="latin-1")
    (tmp_path / "emodb" / "wav" / "notes.wav").write_text("not a recording of the corpus")
    (tmp_path / "emodb" / "silb").mkdir()
    (tmp_path / "emodb" / "silb" / "03a01Fa.silb").write_text("0.15\tder\n0.4\tta\n0.45\t.\n")
    return EmoDB(root=str(tmp_path / "emodb"), cache=str(tmp_path / "cache"))


def test_emodb_lists_every_version(emodb: EmoDB) -> None:
    clips = {c.id: c for c in emodb.clips()}
    assert list(clips) == ["03a01Fa", "03a01Wa", "03a01Wb", "03a02Na", "08a01La"]
    first = clips["03a01Fa"]
    assert (first.speaker, first.sentence, first.emotion, first.intensity) == ("03", "a01", "happy", 3)
    assert clips["03a02Na"].intensity == 1
    assert clips["08a01La"].emotion == "boredom"
    assert set(emodb.emotions) - {"boredom"} < set(MEAD_EMOTIONS)


def test_emodb_prepares_whole_frames_once(emodb: EmoDB) -> None:
    clip = emodb.clips()[0]
    emodb.prepare(clip, frames=False)
    stamp = (clip.directory / "waveform.npy").stat().st_mtime_ns
    emodb.prepare(clip, frames=False)
    assert (clip.directory / "waveform.npy").stat().st_mtime_ns == stamp
    assert len(clip.waveform) == 13 * 640


def test_emodb_phones_become_mouth_shapes(emodb: EmoDB) -> None:
    clip = emodb.clips()[0]
    emodb.prepare(clip, frames=False)
    phones = emodb.phones(clip)
    assert [p.symbol for p in phones] == [".", "_t", "!t", "a", "-lar", "m", "."]
    shapes = emodb.visemes(clip)
    assert [s.symbol for s in shapes] == ["sil", "t", "aa", "p", "sil"]
    assert [s.end for s in shapes] == pytest.approx([0.1, 0.3, 0.4, 0.45, 0.52])
    syllables = emodb.syllables(clip)
    assert [s.symbol for s in syllables] == [".", "der", "ta", "."]
    assert [s.start for s in syllables] == [0.0, 0.15, 0.4, 0.45]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "missing; it comes with EMO-DB's label archive"),
        (b"", "not an xlabel file: no line '#' that ends the header"),
        (b"signal x\n#\n\n", "it has no labels"),
        (b"\x00\xff\x1b garbage \xe9\xe9", "not an xlabel file: no line '#' that ends the header"),
        (b"#\n\xff\xfe -1 a\n", r"line 2: expected a time, got '\xff\xfe'"),
        (b"#\n nan -1 a\n", "line 2: expected a time, got 'nan'"),
        (b"#\n 0.3 -1 a\n 0.1 -1 m\n", "the label 'm' is at 0.1 s, after one at 0.3 s"),
        (b"#\n -0.3 -1 a\n", "the label 'a' is at -0.3 s, after one at 0.0 s"),
    ],
)
def test_emodb_leaves_out_recordings_whose_label_file_cannot_be_used(
    emodb: EmoDB, tmp_path: Path, content: bytes | None, fault: str
) -> None:
    path = tmp_path / "emodb" / "lablaut" / "08a01Laxx.lablaut"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    fewer = EmoDB(root=str(tmp_path / "emodb"), cache=str(tmp_path / "cache"))
    assert [c.id for c in fewer.clips()] == [c.id for c in emodb.clips()][:-1]
    told = f"1 recording is left out, as the phone labels cannot be used: 08a01La ({fault})."
    assert fewer.notes == (told,)
    assert emodb.notes == ()


def test_emodb_notes_are_short_however_much_is_wrong(emodb: EmoDB, tmp_path: Path) -> None:
    lines = [f"{0.1 + i / 100_000} -1 q{i}" for i in range(3000)]
    (tmp_path / "emodb" / "lablaut" / "03a01Waxx.lablaut").write_text("#\n" + "\n".join(lines) + "\n")
    for i in range(300):
        (tmp_path / "emodb" / "wav" / f"{i % 100:02d}{'ab'[i // 200]}{i // 100:02d}Wz.wav").write_bytes(b"")
    faults, labels = EmoDB(root=str(tmp_path / "emodb"), cache=str(tmp_path / "cache")).notes
    assert "300 recordings are left out" in faults
    assert " and 295 more" in faults
    assert "3000 phone labels" in labels
    assert " and 2980 more" in labels
    assert len(faults) < 500
    assert len(labels) < 2000


def test_emodb_keeps_a_recording_with_unknown_labels_and_rests_its_mouth(
    emodb: EmoDB, tmp_path: Path
) -> None:
    lines = [
        "0.1 -1 nn",
        "0.15 -1 a",
        "0.2 -1 8",
        "0.25 -1 vv",
        "0.3 -1 --sth",
        "0.35 -1 \xfc\xdf",
        "0.4 -1 nn",
    ]
    path = tmp_path / "emodb" / "lablaut" / "03a01Waxx.lablaut"
    path.write_bytes(("#\n" + "\n".join(lines) + "\n").encode("latin-1"))
    corpus = EmoDB(root=str(tmp_path / "emodb"), cache=str(tmp_path / "cache"))
    clip = corpus.clips()[1]
    corpus.prepare(clip)
    assert [s.symbol for s in corpus.visemes(clip)] == ["sil", "aa", "sil"]
    (note,) = corpus.notes
    assert note.startswith("5 phone labels in 1 of 5 recordings are not known")
    for listed in ("'nn' 2 times in 03a01Wa", "'8' 1 times", "'vv' 1", "'--sth' 1", r"'\xfc\xdf' 1 times"):
        assert listed in note
    assert Parametric(corpus=corpus, cache=str(tmp_path)).notes == corpus.notes


def test_emodb_labels_beyond_the_sound_make_a_recording_unusable(emodb: EmoDB, tmp_path: Path) -> None:
    path = tmp_path / "emodb" / "lablaut" / "03a01Waxx.lablaut"
    path.write_text("#\n 100 -1 a\n 300 -1 m\n")
    corpus = EmoDB(root=str(tmp_path / "emodb"), cache=str(tmp_path / "cache"))
    assert corpus.inspect().unusable == {
        "wav/03a01Wa.wav": "none of its phone labels lies within its 0.50 s of sound"
    }
    assert emodb.inspect().unusable == corpus.inspect().unusable


def test_emodb_without_any_label_says_what_to_add(emodb: EmoDB, tmp_path: Path) -> None:
    (tmp_path / "emodb" / "lablaut").rename(tmp_path / "elsewhere")
    corpus = EmoDB(root=str(tmp_path / "emodb"), cache=str(tmp_path / "cache"))
    assert len(corpus.clips()) == 5
    with pytest.raises(CorpusError, match=r"has no phone labels .* add the label archive"):
        corpus.inspect()


def test_speech_alone_is_refused_with_the_way_out(
    emodb: EmoDB, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [f"data.root={tmp_path / 'emodb'}", f"cache={tmp_path / 'cache'}", f"out={tmp_path / 'out'}"]
    assert main(["data=emodb", *where, "dry_run=true"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "speech without faces" in said
    assert "face=parametric" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.1 -1 a\n", "no line '#'"),
        ("#\n x -1 a\n", "line 2: expected a time, got 'x'"),
        ("#\n 0.5 -1 a\n 0.2 -1 b\n", "'b' is at 0.2 s, after one at 0.5 s"),
    ],
)
def test_damaged_labels_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.lablaut").write_text(text)
    with pytest.raises(CorpusError, match=message):
        read_xlabel(tmp_path / "x.lablaut")


def test_identity_follows_the_content(emodb: EmoDB, tmp_path: Path) -> None:
    root, cache = str(tmp_path / "emodb"), str(tmp_path / "cache")
    before = emodb.identity()
    assert EmoDB(root=root, cache=cache).identity() == before
    assert EmoDB(root=root, cache=str(tmp_path / "other")).identity() == before
    sound(tmp_path / "emodb" / "wav" / "03a01Fa.wav", seed=99)
    changed = EmoDB(root=root, cache=cache).identity()
    assert changed != before
    (tmp_path / "emodb").rename(tmp_path / "moved")
    assert EmoDB(root=str(tmp_path / "moved"), cache=cache).identity() == changed


@pytest.mark.parametrize("changed", ["wav/03a01Fa.wav", "lablaut/03a01Faxx.lablaut"])
def test_a_file_that_changed_after_planning_is_not_prepared(
    changed: str, emodb: EmoDB, tmp_path: Path
) -> None:
    first, other, *_ = emodb.clips()
    path = tmp_path / "emodb" / changed
    stamp = path.stat().st_mtime_ns
    path.write_bytes(path.with_name(path.name.replace("Fa", "Wa")).read_bytes() + b"\n")
    os.utime(path, ns=(stamp, stamp))
    with pytest.raises(CorpusError, match=rf"{path.name} changed after this run was planned: run the same"):
        emodb.prepare(first)
    assert not first.directory.exists()
    emodb.prepare(other)
    again = EmoDB(root=str(tmp_path / "emodb"), cache=str(tmp_path / "cache"))
    again.prepare(again.clips()[0])
    assert again.clips()[0].directory.is_dir()


def test_a_face_is_not_made_of_labels_that_changed_after_planning(emodb: EmoDB, tmp_path: Path) -> None:
    faces = Parametric(corpus=emodb, cache=str(tmp_path / "faces"))
    clip = faces.clips()[0]
    emodb.prepare(emodb.clips()[0])
    labels = tmp_path / "emodb" / "lablaut" / "03a01Faxx.lablaut"
    labels.write_text(LABELS.replace("0.300", "0.250"), encoding="latin-1")
    with pytest.raises(CorpusError, match=r"03a01Faxx\.lablaut changed after this run was planned"):
        faces.prepare(clip)
    assert not clip.directory.exists()
    labels.write_text(LABELS, encoding="latin-1")
    faces.prepare(clip)


def test_a_landmark_file_that_appeared_after_planning_is_not_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in "ab":
        root.mkdir(exist_ok=True)
        (root / f"{name}.mp4").write_text(f"video {name}")
        (root / f"{name}.csv").write_text(name)
    corpus = Folder(root=str(root), cache=str(tmp_path / "cache"), detector=Given())
    first, second = corpus.clips()
    corpus.check_unchanged(first)
    (root / "a.npy").write_text("a")
    (root / "b.csv").rename(root / "b.txt")
    for clip, name in ((first, "a.npy"), (second, "b.txt")):
        with pytest.raises(CorpusError, match=f"{name} changed after this run was planned"):
            corpus.check_unchanged(clip)


def test_a_truncated_recording_is_named_and_nothing_is_left(emodb: EmoDB, tmp_path: Path) -> None:
    path = tmp_path / "emodb" / "wav" / "03a01Wa.wav"
    path.write_bytes(path.read_bytes()[:3000])
    clip = emodb.clips()[1]
    with pytest.raises(CorpusError, match=r"clip 03a01Wa: .*03a01Wa\.wav: truncated"):
        emodb.prepare(clip, frames=False)
    assert not clip.directory.exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: EmoDB(root=root, cache=root), "EMO-DB not found at .*: expected wav/03a01Fa.wav"),
        (lambda root: Ravdess(root=root, cache=root), "RAVDESS not found at .*: expected Actor_01/03-01"),
        (lambda root: Grid(root=root, cache=root, detector=Given()), "GRID not found at .*: expected s1/"),
        (lambda root: Folder(root=root, cache=root, detector=Given()), "data=folder not found at"),
    ],
)
def test_a_missing_or_empty_folder_says_what_was_expected(tmp_path: Path, make, message: str) -> None:
    with pytest.raises(CorpusError, match=f"{message}.*set data.root or use data=synthetic"):
        make(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=r"nothing usable in .*set data\.root"):
        make(str(tmp_path / "empty"))


def test_ravdess_phones_stay_inside_a_recording_without_pauses(tmp_path: Path) -> None:
    name = "03-01-05-02-01-01-01"
    sound(tmp_path / "ravdess" / "Actor_01" / f"{name}.wav", seconds=1.5)
    corpus = Ravdess(root=str(tmp_path / "ravdess"), cache=str(tmp_path / "cache"))
    (clip,) = corpus.clips()
    corpus.prepare(clip)
    phones = corpus.phones(clip)
    assert phones[0].start == 0
    assert phones[-1].end == len(clip.waveform) / 16000
    assert all(phone.start < phone.end for phone in phones)
    assert all(a.end == b.start for a, b in pairwise(phones))


@pytest.mark.parametrize("inner", ["", "Audio_Speech_Actors_01-24/"])
def test_ravdess_reads_its_names(tmp_path: Path, inner: str) -> None:
    singing = "03-02-06-02-02-01-02"
    for name in ("03-01-01-01-01-01-02", "03-01-06-02-02-01-02", "03-01-02-01-02-02-02", singing):
        sound(tmp_path / "ravdess" / f"{inner}Actor_02" / f"{name}.wav")
    clips = Ravdess(root=str(tmp_path / "ravdess"), cache=str(tmp_path)).clips()
    assert [(c.emotion, c.intensity, c.sentence, c.speaker) for c in clips] == [
        ("neutral", 1, "01", "02"),
        ("calm", 2, "02", "02"),
        ("fear", 3, "02", "02"),
    ]


def test_grid_names_are_sentences(tmp_path: Path) -> None:
    assert spoken_words("bbaf2n") == ("bin", "blue", "at", "f", "two", "now")
    assert spoken_words("id2_vcd_swwp2s") == ("set", "white", "with", "p", "two", "soon")
    assert spoken_words("notes") == spoken_words("zzzzzz") == ()
    deep = "s2/video/mpg_6000/lwbsza.mpg"
    for place in ("s1/bbaf2n.mpg", deep, "id2_vcd_swwp2s.mpg", "prwq3s.mpg", "readme.mpg"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(place.encode())
    (tmp_path / "s1" / "align").mkdir()
    (tmp_path / "s1" / "align" / "bbaf2n.align").write_text("0 25000 sil\n25000 30000 bin\n")
    grid = Grid(root=str(tmp_path), cache=str(tmp_path / "cache"), detector=Given(), pieces=1)
    assert {c.id: c.speaker for c in grid.clips()} == {
        "id2_swwp2s": "id2",
        "of-prwq3s_prwq3s": "of-prwq3s",
        "s1_bbaf2n": "s1",
        "s2_lwbsza": "s2",
    }
    assert grid.default_subject is None
    by_id = {c.id: c for c in grid.clips()}
    assert grid.words(by_id["s1_bbaf2n"])[1] == ("bin", 1.0, 1.2)
    with pytest.raises(CorpusError, match=r"no lwbsza\.align"):
        grid.words(by_id["s2_lwbsza"])


class StillFace(Given):
    """A detector that always sees the same face."""

    def identity(self) -> str:
        return "still"

    def find(self, frames: np.ndarray, media: Path | None = None, **options: object) -> Faces:
        face = np.random.default_rng(0).uniform(100, 200, (1, 68, 2)).astype(np.float32)
        return Faces(np.repeat(face, len(frames), axis=0), 1)


def few_grid(root: Path, **options) -> Grid:
    return Grid(root=str(root), cache=str(root / "cache"), detector=StillFace(), **options)


def test_grid_cuts_clips_where_nobody_has_enough(tmp_path: Path) -> None:
    for name in ("s1/bbaf2n.mpg", "s2/lwbsza.mpg", "s2/prwq3s.mpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "s1" / "bbaf2n.align").write_text("0 25000 sil\n25000 30000 bin\n30000 60000 blue\n")
    grid = few_grid(tmp_path)
    assert len(grid.clips()) == 12
    assert len({c.sentence for c in grid.clips()}) == 12
    assert grid.default_subject == "s2"
    assert grid.clips()[1].id == "s1_bbaf2n-2of4"
    assert grid.clips()[1].text == "bin blue at f two now (2 of 4)"
    words = [(w.symbol, round(w.start, 6), round(w.end, 6)) for w in grid.words(grid.clips()[1])]
    assert words == [("bin", 0.24, 0.44), ("blue", 0.44, 0.76)]
    split = split_corpus(grid, test_shared=3, test_other=5)
    assert {c.speaker for c in split.train} == {"s2"}
    assert any("come from the recordings of the training pieces" in note for note in split.notes)
    whole = few_grid(tmp_path, pieces=1)
    assert len(whole.clips()) == 3
    assert not whole.notes
    assert whole.identity() != grid.identity()
    with pytest.raises(CorpusError, match=r"data\.pieces: expected null or 1 to 75, got 0"):
        few_grid(tmp_path, pieces=0)


def test_twenty_clips_of_a_speaker_stay_whole(tmp_path: Path) -> None:
    for digit in "123456789z":
        for letter in "ab":
            (tmp_path / f"s1_bba{letter}{digit}n.mpg").write_bytes(b"x")
    grid = few_grid(tmp_path)
    assert len(grid.clips()) == 20
    assert grid.default_subject == "s1"


@needs_recordings
def test_pieces_of_a_clip_make_the_clip(tmp_path: Path) -> None:
    (tmp_path / "lrwp9a.mpg").symlink_to(SHARED_DATA / "grid" / "lrwp9a.mpg")
    (whole,) = few_grid(tmp_path, pieces=1).clips()
    few_grid(tmp_path, pieces=1).prepare(whole)
    grid = few_grid(tmp_path)
    for clip in grid.clips():
        grid.prepare(clip)
        assert len(clip.waveform) == len(clip.landmarks) * 640
    for name in ("waveform", "landmarks", "frames"):
        np.testing.assert_array_equal(np.concatenate([c.load(name) for c in grid.clips()]), whole.load(name))


def table(root: Path, text: str) -> Path:
    for name in ("a.wav", "b/c.wav"):
        sound(root / name)
    (root / "clips.csv").write_text(text)
    return root / "clips.csv"


def test_folder_without_a_table(tmp_path: Path) -> None:
    for name in ("anna/hello.wav", "anna/bye.wav", "hello.wav"):
        sound(tmp_path / name)
    corpus = Folder(root=str(tmp_path), cache=str(tmp_path / "cache"), detector=Given())
    listed = {c.id: (c.speaker, c.sentence, c.emotion) for c in corpus.clips()}
    assert listed == {
        "anna_bye": ("anna", "bye", None),
        "anna_hello": ("anna", "hello", None),
        "hello": ("speaker", "hello", None),
    }
    assert not corpus.has_frames
    assert corpus.emotions == ()


def test_folder_with_a_table(tmp_path: Path) -> None:
    table(tmp_path, "file,speaker,emotion,intensity\na.wav,Anna,happy,2\nb/c.wav,,sad,\n")
    corpus = Folder(root=str(tmp_path), cache=str(tmp_path), detector=Given(), table="clips.csv")
    assert [(c.speaker, c.sentence, c.emotion, c.intensity) for c in corpus.clips()] == [
        ("Anna", "a", "happy", 2),
        ("b", "c", "sad", 3),
    ]
    assert corpus.emotions == ("happy", "sad")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column 'file', but nothing"),
        ("path,emotion\na.wav,sad\n", "line 1: no column 'file', but path, emotion"),
        ("file,mood\na.wav,sad\n", "line 1: unknown column 'mood'"),
        ("file\n", "the table has no rows"),
        ("file,emotion\na.wav,sad\nb/c.wav,bored\n", "line 3: unknown emotion 'bored'; known are angry"),
        ("file\na.wav\nb/c.wav\na.wav\n", "line 4: a.wav is listed in line 2 already"),
        ("file\nnone.wav\n", "line 2: no such file"),
        (f"file\n{'x' * 300}.wav\n", "line 2: no such file"),
        ("file,emotions,mood\na.wav,sad,\n", "line 1: unknown columns 'emotions', 'mood'; known are file,"),
        ("file,sound\na.wav,b/c.wav\n", "line 2: sound 'b/c.wav': a.wav is itself a sound file"),
        ("file,sound\na.wav,/etc/x.wav\n", "line 2: sound '/etc/x.wav' must be a path below"),
        ("file,sound_start\na.wav,1\n", "line 2: sound_start 1.0 without a sound"),
        ("file,sound_start\na.wav,soon\n", "line 2: sound_start 'soon'; expected seconds"),
        ("file,sound_start\na.wav,inf\n", "line 2: sound_start 'inf'; expected seconds"),
        ("file\n/etc/passwd\n", "line 2: file '/etc/passwd' must be a path below"),
        ("file,emotion,emotion\na.wav,sad,happy\n", "line 1: column 'emotion' is there twice"),
        ("file\n../a.wav\n", "line 2: file '../a.wav' must be a path below"),
        ("file\nclips.csv\n", "line 2: clips.csv is no recording"),
        ("file,intensity\na.wav,5\n", "line 2: intensity '5'; expected 1, 2 or 3, or weak"),
        ("file,emotion\na.wav\n", "line 2: not as many fields as columns"),
        (f"file,speaker\na.wav,{chr(120) * 1001}\n", "line 2: speaker is no text of at most 1000"),
    ],
)
def test_tables_with_mistakes_are_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_table(tmp_path, table(tmp_path, text), MEAD_EMOTIONS)


@pytest.mark.parametrize(("written", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_table_and_files_may_compose_characters_differently(
    tmp_path: Path, written: str, there: str
) -> None:
    for name in ("é.wav", "ê.wav"):
        sound(tmp_path / unicodedata.normalize(there, name))
    path = tmp_path / "clips.csv"
    lines = ["file,speaker,sentence", "é.wav,Zoë,ä", unicodedata.normalize("NFC", "ê.wav,Zoë,ä")]
    path.write_text("\n".join([*(unicodedata.normalize(written, line) for line in lines[:2]), lines[2]]))
    rows = read_table(tmp_path, path, MEAD_EMOTIONS)
    assert len({row.path for row in rows}) == 2
    assert {(row.speaker, row.sentence) for row in rows} == {("Zoë", "ä")}


def test_a_table_may_begin_with_a_byte_order_mark_and_end_lines_as_windows_does(tmp_path: Path) -> None:
    path = table(tmp_path, "")
    path.write_bytes(b"\xef\xbb\xbffile,emotion\r\na.wav,sad\r\n\r\n")
    assert [(r.path.name, r.emotion) for r in read_table(tmp_path, path, MEAD_EMOTIONS)] == [("a.wav", "sad")]


@pytest.mark.parametrize(
    "text",
    [
        "file;emotion;intensity\na.wav;sad;2\n",
        "file\temotion\tintensity\r\na.wav\tsad\t2\r\n",
        '"file","emotion","intensity"\n"a.wav","Sadness","2.0"\n',
        "Emotion, File ,Intensity\n SAD , a.wav , level_2 \n",
        "file,emotion,intensity,speaker,sentence\na.wav,sad,medium,nan,\n,,,,\n",
        'file,sentence,emotion,intensity\na.wav,"a",sadness,normal\n',
    ],
)
def test_tables_are_read_as_programs_write_them(tmp_path: Path, text: str) -> None:
    (row,) = read_table(tmp_path, table(tmp_path, text), MEAD_EMOTIONS)
    assert (row.path.name, row.emotion, row.intensity) == ("a.wav", "sad", 2)
    assert (row.speaker, row.sentence) == ("speaker", "a")


def test_cells_may_hold_delimiters_and_persons_may_be_called_na(tmp_path: Path) -> None:
    path = table(tmp_path, "")
    sound(tmp_path / "one, two; three.wav")
    path.write_text('file,speaker,sentence,emotion\n"one, two; three.wav",Na,None,NaN\n')
    (row,) = read_table(tmp_path, path, MEAD_EMOTIONS)
    assert (row.path.name, row.speaker, row.sentence) == ("one, two; three.wav", "Na", "None")
    assert row.emotion is None


def test_all_mistakes_of_a_table_are_named_at_once(tmp_path: Path) -> None:
    path = table(tmp_path, "file,emotion\nnone.wav,sad\na.wav,bored\nb/c.wav,sad\nmissing.wav,sad\n")
    with pytest.raises(CorpusError, match="nor can 2 other lines be used") as caught:
        read_table(tmp_path, path, MEAD_EMOTIONS)
    named = [line.split(", line ")[1] for line in caught.value.problems]
    assert [line[:3] for line in named] == ["2: ", "3: ", "5: "]
    assert "missing.wav" in named[2]


TREES = {
    "MEAD": (
        ["M003/video/front/angry/level_3/001.mp4", "W009/video/left_30/happy/level_1/002.mp4"],
        "its folders are emotions and intensities and views",
        "M003/video/front/angry/level_3/001.mp4,M003,001,angry,3",
    ),
    "emotions alone": (["anger/1.mp4", "sadness/2.mp4"], "emotions", "anger/1.mp4,speaker,1,angry,"),
    "abbreviations": (["ANG/1.mp4", "HAP/2.mp4"], "emotions", "ANG/1.mp4,speaker,1,angry,"),
    "views below people": (["anna/left_30/1.mp4", "ben/front/1.mp4"], "views", "ben/front/1.mp4,ben,1,,"),
    "intensities": (["anna/strong/1.mp4"], "intensities", "anna/strong/1.mp4,anna,1,,3"),
    "CREMA-D": (
        ["1001_DFA_ANG_XX.mp4", "1002_IEO_HAP_HI.mp4"],
        "names hold emotions",
        "1001_DFA_ANG_XX.mp4,1001,DFA,angry,",
    ),
    "TESS": (
        ["OAF_angry/OAF_back_angry.wav", "YAF_happy/YAF_bar_happy.wav"],
        "names hold emotions",
        "OAF_angry/OAF_back_angry.wav,OAF,back,angry,",
    ),
    "RAVDESS": (
        ["Actor_01/03-01-05-02-01-01-01.wav", "Actor_02/03-01-03-01-02-01-02.wav"],
        "data=ravdess",
        "Actor_01/03-01-05-02-01-01-01.wav,01,01,angry,3",
    ),
    "RAVDESS's videos": (
        ["01-01-05-02-01-01-01.mp4", "01-01-03-01-02-01-02.mp4"],
        "RAVDESS's names",
        "01-01-05-02-01-01-01.mp4,01,01,angry,3",
    ),
    "EMO-DB": (["03a01Fa.wav", "08a02Wb.wav"], "data=emodb", "03a01Fa.wav,speaker,03a01Fa,,"),
    "one name below two": (
        ["anna/video/1.mp4", "ben/video/2.mp4"],
        "one person, 'video'",
        "anna/video/1.mp4,anna,1,,",
    ),
}


@pytest.mark.parametrize("name", TREES)
def test_trees_whose_folders_are_no_persons_need_a_table(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files, reason, row = TREES[name]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(file.encode())
    with pytest.raises(CorpusError, match=r"needs a table, .*set data.table=clips.csv") as caught:
        Folder(root=str(tmp_path), cache=str(tmp_path / "cache"), detector=Given())
    assert reason in str(caught.value)
    assert caught.value.problems[0] == "file,speaker,sentence,emotion,intensity"
    assert row in caught.value.problems
    assert draft([str(tmp_path)]) == 0
    (tmp_path / "clips.csv").write_text(capsys.readouterr().out)
    emotions = (*MEAD_EMOTIONS, "calm", "boredom")
    rows = read_table(tmp_path, tmp_path / "clips.csv", emotions)
    assert len(rows) == len(files) - (name in ("MEAD", "views below people"))


def test_folders_that_may_be_persons_are_taken_as_such(tmp_path: Path) -> None:
    for name in ("Angela/hello.wav", "Felix/happy birthday.wav", "Con/top.wav", "s1/bbaf2n.wav"):
        sound(tmp_path / name)
    corpus = Folder(root=str(tmp_path), cache=str(tmp_path / "cache"), detector=Given())
    assert {c.speaker for c in corpus.clips()} == {"Angela", "Felix", "Con", "s1"}


@pytest.mark.parametrize("corpus", ["emodb", "ravdess", "folder", "pipeline", "lrw"])
def test_prepared_clips_follow_the_version_of_decoding(
    emodb: EmoDB, tmp_path: Path, corpus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    sound(root / "Actor_01" / "03-01-01-01-01-01-01.wav")
    sound(tmp_path / "folder" / "a.wav")
    (root / "ABOUT" / "train").mkdir(parents=True)
    (root / "ABOUT" / "train" / "ABOUT_00001.mp4").write_bytes(b"")
    places = {"root": str(root), "cache": str(tmp_path / "cache")}

    def identity() -> str:
        made = {
            "emodb": lambda: EmoDB(root=str(tmp_path / "emodb"), cache=places["cache"]),
            "ravdess": lambda: Ravdess(**places),
            "folder": lambda: Folder(**places | {"root": str(tmp_path / "folder")}, detector=Given()),
            "pipeline": lambda: Preprocess(detector=Given()),
            "lrw": lambda: LRW(**places, detector=Given()),
        }
        return made[corpus]().identity()

    before = identity()
    assert identity() == before
    home = "models.preprocess" if corpus == "pipeline" else "benchmark.data"
    monkeypatch.setattr(f"{home}.{corpus}.DECODING", "another version")
    assert identity() != before


def test_no_space_for_the_digests(emodb: EmoDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    root, cache = str(tmp_path / "emodb"), str(tmp_path / "other")
    # Digests of files that have just been written are not kept.
    monkeypatch.setattr("benchmark.data.recordings.SETTLED_NS", -1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"no space left while writing .*digests"):
            EmoDB(root=root, cache=cache).identity()
    assert not list((tmp_path / "other" / "digests").iterdir())
    assert EmoDB(root=root, cache=cache).identity() == emodb.identity()


def test_own_emotions_are_allowed_by_name(tmp_path: Path) -> None:
    path = table(tmp_path, "file,emotion\na.wav,bored\n")
    assert read_table(tmp_path, path, ("bored",))[0].emotion == "bored"


def test_the_fullest_speaker_is_the_subject_if_there_is_enough(tmp_path: Path) -> None:
    def clips(**counts: int) -> list[Clip]:
        return [Clip(f"{s}{i}", s, "x", None, 1, tmp_path) for s, n in counts.items() for i in range(n)]

    assert fullest_speaker(clips(a=20, b=25, c=25)) == "b"
    assert fullest_speaker(clips(a=19, b=2)) is None
    assert fullest_speaker(clips(a=19)) == "a"
    assert fullest_speaker([]) is None


@needs_recordings
def test_every_emodb_label_is_known(tmp_path: Path) -> None:
    corpus = EmoDB(root=str(SHARED_DATA / "emodb"), cache=str(tmp_path))
    assert len(corpus.clips()) == 337
    (note,) = corpus.notes
    assert "left out, as the phone labels cannot be used: 08a01Ab, 08a01Wa" in note
    without_syllables = []
    for clip in corpus.clips():
        corpus.prepare(clip, frames=False)
        shapes = corpus.visemes(clip)
        assert shapes[0].start == 0
        assert shapes[-1].end == pytest.approx(len(clip.waveform) / 16000)
        assert all(a.end == b.start for a, b in pairwise(shapes))
        if not corpus.syllables(clip):
            without_syllables.append(clip.id)
    assert without_syllables == ["13a01Wb"]
    assert split_corpus(corpus, test_shared=1, test_other=1).train


@needs_recordings
def test_emodb_vowels_are_louder_than_stops(tmp_path: Path) -> None:
    corpus = EmoDB(root=str(SHARED_DATA / "emodb"), cache=str(tmp_path))
    for clip in corpus.clips()[::40]:
        corpus.prepare(clip, frames=False)
        level = {"aeiouEIOUY@269": [], "bdgptk": [], ".": []}
        for phone in corpus.phones(clip):
            sound = clip.waveform[round(phone.start * 16000) : round(phone.end * 16000)].astype(float)
            for kind, levels in level.items():
                if phone.symbol[:1] and phone.symbol[0] in kind and len(sound):
                    levels.append(10 * np.log10((sound**2).mean() + 1e-9))
        vowels, stops, silence = (np.mean(levels) for levels in level.values())
        assert vowels > stops + 6 > silence


@needs_recordings
def test_ravdess_phones_fall_on_the_speech(tmp_path: Path) -> None:
    corpus = Ravdess(root=str(SHARED_DATA / "ravdess"), cache=str(tmp_path))
    assert len(corpus.clips()) == 720
    for clip in corpus.clips()[::90]:
        corpus.prepare(clip, frames=False)
        phones = corpus.phones(clip)
        assert all(a.end == b.start for a, b in pairwise(phones))
        power = clip.waveform.astype(float) ** 2
        start, end = int(phones[0].end * 16000), int(phones[-1].start * 16000)
        assert power[start:end].sum() > 0.97 * power.sum()
        assert 0.8 < (end - start) / 16000 < 3.5
