"""What is read from responses to damage: verdicts by formula, sentences, and a page that escapes."""

from __future__ import annotations

import dataclasses
import html.parser
import math
from pathlib import Path

import pytest
from scipy import stats

from benchmark.observations import (
    OBSERVATIONS,
    UNDAMAGED,
    DamageInfo,
    Observation,
    Observations,
    read_observations,
    write_observations,
)
from benchmark.records import WHOLE_SET, ProtocolInfo, RecordsError
from reports.formats import to_csv, to_latex, to_markdown
from reports.observability import (
    amount,
    lost_faces_note,
    observability_figure,
    observability_table,
    responses,
    sentence,
    write_observability,
)
from reports.paper import build_report

DOSES = (1.0, 2.0, 4.0)
CLIPS = ("a", "b", "c", "d")
EVIL = "<script>alert(1)</script>"


def protocol(label: str, direction: str = "lower", unit: str = "px") -> ProtocolInfo:
    return ProtocolInfo(label, label, unit, direction, "a source", "a description", family=label)


def made(
    values: dict[str, dict[str, list[list[float | None]]]], infos: dict[str, ProtocolInfo], **more
) -> Observations:
    """Observations of protocol -> damage -> per dose, per clip; damages of the same doses."""
    rows = []
    for name, damages in values.items():
        for damage, table in damages.items():
            doses = (0.0,) if damage == UNDAMAGED else DOSES
            for dose, clips in zip(doses, table, strict=True):
                rows += [Observation(damage, dose, name, c, v) for c, v in zip(CLIPS, clips, strict=True)]
    names = [d for d in next(iter(values.values())) if d != UNDAMAGED]
    damages = {
        name: DamageInfo("share of frames" if name == "lost faces" else "px", DOSES, "is done")
        for name in names
    }
    return Observations("a corpus", CLIPS, 40, 64, damages, infos, tuple(rows), **more)


def one(table: list[list[float]], **kind) -> Observations:
    """One protocol, perfect at 0, under the damage asked about and under one that sets its range to 1."""
    sign = -1 if kind.get("direction") == "higher" else 1
    scaled = [[sign * v for v in row] for row in table]
    return made(
        {"p": {UNDAMAGED: [[0.0] * 4], "rust": scaled, "fire": [[0.0] * 4, [0.0] * 4, [float(sign)] * 4]}},
        {"p": protocol("P", **kind)},
    )


@pytest.mark.parametrize("direction", ["lower", "higher"])
@pytest.mark.parametrize(
    ("table", "verdict", "first"),
    [
        ([[0.1] * 4, [0.2] * 4, [0.3] * 4], "sees", 1.0),
        ([[0.0] * 4, [0.2] * 4, [0.3] * 4], "sees", 2.0),
        ([[0.5] * 4, [0.0] * 4, [0.3] * 4], "sees", 4.0),
        ([[0.0] * 4, [0.0] * 4, [0.0] * 4], "blind", None),
        ([[0.0] * 4, [0.0] * 4, [0.009] * 4], "faint", None),
        ([[0.0] * 4, [0.0] * 4, [-0.2] * 4], "rewards", None),
        ([[0.0] * 4, [0.0] * 4, [0.9, -0.4, 0.5, -0.6]], "unsure", None),
        ([[0.5] * 4, [0.5] * 4, [0.0] * 4], "unsure", None),
    ],
)
def test_the_verdict_follows_its_definition(table, verdict: str, first: float | None, direction: str) -> None:
    response = responses(one(table, direction=direction))["p", "rust"]
    assert response.verdict == verdict
    assert response.first == first


def test_shares_are_means_over_clips_of_the_range_with_students_interval() -> None:
    values = [0.2, 0.3, 0.5, 0.6]
    response = responses(one([[0.0] * 4, [0.0] * 4, values]))["p", "rust"]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert response.shares[-1] == pytest.approx(0.4)
    assert (response.lows[-1], response.highs[-1]) == pytest.approx((expected.low, expected.high))


def test_the_truths_own_score_is_what_a_response_is_counted_from() -> None:
    found = made(
        {"p": {UNDAMAGED: [[5.0, 6.0, 7.0, 8.0]], "rust": [[6.0, 7.0, 8.0, 9.0]] * 3}},
        {"p": protocol("P")},
    )
    assert responses(found)["p", "rust"].shares == pytest.approx((1.0, 1.0, 1.0))


def test_decibels_are_amplitudes_and_identical_frames_are_none() -> None:
    """20 dB is an amplitude of 0.1, 40 dB of 0.01: a tenth of it."""
    found = made(
        {"p": {UNDAMAGED: [[None] * 4], "rust": [[None] * 4, [40.0] * 4, [20.0] * 4]}},
        {"p": protocol("PSNR", "higher", "dB")},
    )
    assert responses(found)["p", "rust"].shares == pytest.approx((0.0, 0.1, 1.0))


def test_a_set_brings_its_own_interval() -> None:
    rows = [Observation(UNDAMAGED, 0.0, "fd", WHOLE_SET, 0.0, low=0.0, high=0.0)]
    for dose, low in zip(DOSES, (-1.0, 1.0, 8.0), strict=True):
        rows.append(Observation("rust", dose, "fd", WHOLE_SET, dose * 2.5, low=low, high=dose * 3))
    damages = {"rust": DamageInfo("px", DOSES, "is done")}
    found = Observations("a corpus", CLIPS, 40, 64, damages, {"fd": protocol("FD")}, tuple(rows))
    response = responses(found)["fd", "rust"]
    assert response.lows == pytest.approx((-0.1, 0.1, 0.8))
    assert response.first == 2.0


def test_monotone_is_spearmans_correlation_with_no_dose_included() -> None:
    rising = responses(one([[0.1] * 4, [0.2] * 4, [0.3] * 4]))["p", "rust"]
    turning = responses(one([[0.3] * 4, [0.2] * 4, [0.1] * 4]))["p", "rust"]
    assert rising.monotone == 1
    assert turning.monotone == pytest.approx(stats.spearmanr([0, 1, 2, 4], [0, 0.3, 0.2, 0.1])[0])


def test_the_sentence_says_what_the_verdicts_are() -> None:
    found = made(
        {
            "p": {
                UNDAMAGED: [[0.0] * 4],
                "rust": [[0.0] * 4] * 3,
                "fire": [[0.0] * 4, [0.5] * 4, [1.0] * 4],
                "lost faces": [[0.2] * 4, [0.3] * 4, [0.4] * 4],
            }
        },
        {"p": protocol("P")},
    )
    assert sentence(found, "p") == (
        "P does not see rust. It sees fire from 2 px and lost faces from 100 % of frames."
    )
    table = observability_table(found)
    assert [cell.value for cell in table.rows[0].cells] == ["blind", "2", "100"]
    assert table.columns == ("rust (px)", "fire (px)", "lost faces (%)")


@pytest.mark.parametrize(
    ("dose", "unit", "said"),
    [(40, "ms", "40 ms"), (0.25, "share of the clip", "25 % of the clip"), (0.5, "px", "0.5 px")],
)
def test_a_dose_is_said_as_a_reader_would(dose: float, unit: str, said: str) -> None:
    assert amount(dose, unit) == said


def test_bounds_of_lost_faces_are_told() -> None:
    rows = [Observation(UNDAMAGED, 0.0, "p", c, 0.0) for c in CLIPS]
    for dose in DOSES:
        rows += [
            Observation("lost faces", dose, "p", c, 0.0, coverage=0.5, least=0.0, most=12.0) for c in CLIPS
        ]
    damages = {"lost faces": DamageInfo("share of frames", DOSES, "is done")}
    found = Observations("a corpus", CLIPS, 40, 64, damages, {"p": protocol("M-LD")}, tuple(rows))
    assert "M-LD 0.00, at worst 12.00 px" in lost_faces_note(found)


def test_everything_is_escaped_and_written_alike_twice(tmp_path: Path) -> None:
    found = one([[0.1] * 4, [0.2] * 4, [0.3] * 4])
    evil = dataclasses.replace(found, corpus=EVIL, protocols={"p": protocol(EVIL)}, notes=(EVIL,))
    pages = [write_observability(evil, tmp_path / name).read_bytes() for name in ("first", "second")]
    assert pages[0] == pages[1]
    assert EVIL.encode() not in pages[0]
    html.parser.HTMLParser().feed(pages[0].decode())
    for name in ("figures/observability.png", "figures/observability.pdf", "tables/observability.csv"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    table = observability_table(evil)
    assert EVIL not in to_markdown(table)
    assert to_latex(table).count(r"\\") >= 2
    assert to_csv(table).splitlines()[0].startswith("protocol,damage,unit,dose,response")


def test_a_figure_has_a_row_for_each_family() -> None:
    found = one([[0.1] * 4, [0.2] * 4, [0.3] * 4])
    assert observability_figure(found).svg.startswith("<svg")


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = one([[0.1] * 4, [0.2] * 4, [1 / 3] * 4])
    write_observations(tmp_path / OBSERVATIONS, found)
    again = read_observations(tmp_path / OBSERVATIONS)
    assert dataclasses.asdict(again) == dataclasses.asdict(found)


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 99}', '{"schema": 1, "rows": []}', "[1]"])
def test_a_file_that_is_none_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / OBSERVATIONS
    path.write_text(content)
    with pytest.raises(RecordsError, match=OBSERVATIONS):
        read_observations(path)


def test_a_value_must_be_a_number() -> None:
    with pytest.raises(RecordsError, match="not a score"):
        Observation("rust", 1.0, "p", "a", math.nan)


def test_the_report_has_the_page_only_where_there_is_something_to_say(tmp_path: Path, fake) -> None:
    fake.write_run(tmp_path / "quick")
    page = build_report(tmp_path / "quick")
    assert "What each metric cannot see" not in page.read_text()
    write_observations(tmp_path / "quick" / OBSERVATIONS, one([[0.1] * 4, [0.2] * 4, [0.3] * 4]))
    page = build_report(tmp_path / "quick")
    assert 'href="observability.html"' in page.read_text()
    own = page.with_name("observability.html").read_text()
    assert 'href="index.html#observability"' in own
    assert "P is blind to none. It sees rust from 1 px and fire from 4 px." in own
