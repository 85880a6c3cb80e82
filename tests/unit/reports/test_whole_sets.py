"""Scores of a whole set: their frames and clips, and what real clips score against other real clips."""

from __future__ import annotations

import dataclasses

from benchmark.records import Floor, read_manifest, write_manifest
from reports.load import load_study
from reports.stats import estimate
from reports.tables import all_tables, main_table

PROTOCOL = "fd/mobilenetv2-96"


def test_a_cell_says_how_many_frames_of_how_many_clips(tmp_path, fake) -> None:
    fake.write_run(tmp_path / "quick", videos=0)
    study = load_study(tmp_path / "quick")
    cell = estimate(study, "evp", "self", PROTOCOL)
    assert cell is not None
    assert (cell.frames, cell.clips) == (1200, 16)
    titles = [c.title for row in main_table(study, "self").rows for c in row.cells]
    assert any("1200 frames of 16 clips" in title for title in titles)


def test_the_caption_tells_the_floor_and_that_it_is_of_fewer_frames(tmp_path, fake) -> None:
    manifest = fake.write_run(tmp_path / "quick", videos=0)
    floors = {PROTOCOL: {"self": Floor(12.34, 10.1, 15.2, 1000, 14, 1200, 16)}}
    write_manifest(tmp_path / "quick" / "manifest.json", dataclasses.replace(manifest, floors=floors))
    assert read_manifest(tmp_path / "quick" / "manifest.json").floors == floors
    study = load_study(tmp_path / "quick")
    captions = {table.name: table.caption for table in all_tables(study)}
    assert (
        "Real clips against other real clips: FD (mobilenetv2-96) 12.3 [10.1, 15.2] with 1000 frames of "
        "14 clips a side (scored: 1200 of 16)." in captions["main-self"]
    )
    assert "Real clips" not in captions["main-transfer"]
