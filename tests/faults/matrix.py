"""The 44 rows: fault, expected outcome, how it is injected, how often, and what is not built or not
covered."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.tally import Tally

Counts = tuple[int, int]
"""Injections in `.ci/run` and in `make faults`."""


@dataclass(frozen=True)
class Row:
    number: int
    fault: str
    expected: str
    injection: str
    """How the fault is brought about, in the words of the page; for a row that is not built: what is
    missing."""
    work: str = ""
    """`module:function` of this package that injects it; empty where the row is not built."""
    counts: Counts = (0, 0)
    limit: Counts = (300, 7200)
    """Seconds after which the row itself is taken to hang, by scale."""
    missing: str = ""
    """What the row asks for and nothing here covers."""

    @property
    def built(self) -> bool:
        return bool(self.work)

    def run(self, count: int, folder: Path) -> Tally:
        module, _, name = self.work.partition(":")
        work: Callable[[int, Path], Tally] = getattr(importlib.import_module(f"tests.faults.{module}"), name)
        return work(count, folder)


NOT_BUILT = "not built yet"

ROWS: tuple[Row, ...] = (
    Row(
        1,
        "A toy training is killed (SIGKILL) at a random time",
        "The next start ends with the same bytes, raises nothing and leaves no temporary file",
        "Forked trainings that save every step are killed at uniformly drawn times, over and over until "
        "one ends by "
        "itself; its weights and logs are compared with those of an undisturbed one.",
        "interruption:kill_training",
        (40, 1000),
    ),
    Row(
        2,
        "`benchmark.run suite=smoke` is killed at a random time, in all its stages",
        "The same bytes in the end; a complete stage is never computed again",
        "The real command, killed alone or with its workers, over and over until it ends by itself. "
        "Complete stages "
        "are known by the inode of their `stage.json`.",
        "interruption:kill_smoke",
        (0, 100),
        (600, 10800),
    ),
    Row(
        3,
        "A kill at a call that writes: checkpoints, prepared clips, finished stages",
        "The old state or the new one; the next start ends with the same bytes",
        "An audit hook kills a toy training at each call that opens, writes, flushes, synchronises, "
        "renames or "
        "removes, at the first, a middle and the last time; writes also after half of the data.",
        "interruption:kill_at_writes",
        (16, 400),
    ),
    Row(
        4,
        "SIGTERM, SIGINT, SIGUSR1",
        "Ended within 10 s with exit code 143, 130 or 75; the same command goes on to the same bytes",
        "A toy study is told to stop at random times, as a terminal or a cluster would.",
        "interruption:signals",
        (6, 150),
    ),
    Row(
        5,
        "The disk is full (ENOSPC)",
        "One clear line, exit code 4, nothing half written is visible; with space again, the same bytes",
        "In a toy study each call that needs space fails, the first and the last time it is made, and so "
        "does every "
        "one after it in all processes.",
        "storage:full_disk",
        (8, 400),
        missing="What C libraries write themselves (video encoders, SQLite) is not failed call by call.",
    ),
    Row(
        6,
        "EIO, EACCES, EROFS or EMFILE at a write or rename",
        "As above; a save that failed is never reported as done",
        "In a toy study each call that writes fails once with each of the four.",
        "storage:broken_disk",
        (8, 1000),
    ),
    Row(
        7,
        "A damaged checkpoint: one flipped bit, a truncation, an empty file, another cell's",
        "Noticed by its digest and named; the one before is loaded",
        "The newest of two checkpoints is damaged, its weights or its description.",
        "storage:damaged_checkpoints",
        (400, 2000),
    ),
    Row(
        8,
        "A damaged file of a finished stage or of a prepared clip",
        "Noticed and named, put aside, made again; the same bytes",
        "One file is flipped, truncated, emptied or replaced, what was made from it is removed, and the "
        "study is run "
        "again.",
        "storage:damaged_cache",
        (10, 200),
    ),
    Row(
        9,
        "Records or manifest with a torn tail, or with half a line appended",
        "Refused by name when read; the next run writes them whole",
        "Files of a finished toy study are cut at random offsets, and half of them get a torn line appended.",
        "storage:torn_records",
        (10, 200),
    ),
    Row(
        10,
        "Eight processes start the same study in the same folder",
        "Each stage is computed once, every process ends with 0, the same bytes",
        "Eight forked commands at once on an empty folder; every publication of a stage is noted.",
        "circumstances:many_processes",
        (1, 20),
    ),
    Row(
        11,
        "The process that computes a stage is killed while another waits for it",
        "The other says whose lock it waits for, takes over at once and ends with the same bytes",
        "One training is killed after its first checkpoints, while a second waits for its lock.",
        "interruption:killed_lock_holder",
        (4, 50),
    ),
    Row(
        12,
        "A worker stands still (SIGSTOP), then goes on",
        "The same bytes",
        "The worker of a toy study is stopped in the middle of its training for up to 1.5 s.",
        "interruption:stopped_worker",
        (3, 20),
    ),
    Row(
        13,
        "A sweep of four workers on PostgreSQL, killed at random",
        "Exactly as many trials as asked for, none left running, a limit to repeats",
        "A sweep is one process at a time, on SQLite.",
    ),
    Row(
        14,
        "PostgreSQL restarts, is cut off, or becomes read-only",
        "Waits and goes on; no trial twice, none lost",
        "Sweeps have no PostgreSQL storage that is tested.",
    ),
    Row(
        15,
        'SQLite answers "database is locked" for 30 s',
        "The sweep waits, then goes on",
        "A second process holds an exclusive lock on the database of a sweep that goes on.",
        "sweeping:locked_database",
        (1, 10),
    ),
    Row(
        16,
        "Slurm takes a node, requeues, cancels or times out",
        "The same bytes; cancelled cells are listed as not run",
        "There is no Slurm executor. SIGUSR1 and SIGTERM, which Slurm sends, are row 4.",
    ),
    Row(
        17,
        "A node or a worker of Ray is lost",
        "The same bytes; lack of memory is named",
        "There is no Ray executor.",
    ),
    Row(
        18,
        "A trial runs out of memory, or the kernel kills it for that",
        "Its cell is FAILED for that reason, the others go on, exit code 3; with more memory the next run"
        " is whole",
        "A training allocates by NumPy, by torch and by Python under RLIMIT_AS, or its worker is killed.",
        "failing:out_of_memory",
        (5, 20),
    ),
    Row(
        19,
        "A loss, a gradient or a validation value is NaN or infinite",
        "The cell is FAILED with the step and term, its account is kept, no table has a number of it",
        "The toy's training is spoiled at a random step, beside a row that is not.",
        "failing:not_a_number",
        (5, 40),
    ),
    Row(
        20,
        "Metrics are given NaN, infinity, nothing, constants, other shapes",
        "A finite score, one that is left out by rule, or an error in words; never a silent NaN",
        "Every registered metric on 12 to 14 hostile inputs.",
        "failing:hostile_arrays",
        (1000, 1000),
    ),
    Row(
        21,
        "A training or a decoder hangs",
        "Named after its limit with the stack it hangs in; ended and FAILED where `stall=fail`; a decoder is "
        "replaced",
        "A toy training sleeps for ever or for seconds, beside a row that does not; the decoding process is "
        "stopped or killed before a file.",
        "failing:hanging",
        (4, 20),
    ),
    Row(
        22,
        "Damaged videos: truncated, flipped, spliced, with other headers",
        "Refused by name, or decoded as before the damage, or noted; no crash, no hang",
        "Small videos in many containers and codecs are damaged in four ways.",
        "media:fuzzed_videos",
        (150, 3000),
    ),
    Row(
        23,
        "Damaged sound files",
        "The same",
        "Small sound files in many formats are damaged in four ways.",
        "media:fuzzed_sounds",
        (200, 3000),
    ),
    Row(
        24,
        "Damaged small files: landmarks, arrays, weights, records, manifests, tables, YAML, checkpoints",
        "One error in words that is meant for it; no pickle is ever executed",
        "Valid files of each kind are flipped, cut, given other numbers, or replaced by pickled programs,"
        " and read.",
        "hostile:small_files",
        (1000, 10000),
        missing="Parquet: nothing here reads it.",
    ),
    Row(
        25,
        "Bombs: huge pictures, hour-long or gigabyte sounds, compressed or claimed terabytes",
        "Refused by name before memory is taken (less than 200 MB)",
        "Twenty files that are small on disk, given to the readers of videos, sounds, weights, arrays and"
        " landmarks.",
        "media:bombs",
        (20, 20),
    ),
    Row(
        26,
        "Unusual recordings: rates, sizes, lengths, depths, holes, no frames, no sound",
        "One documented outcome each",
        "Each kind is encoded and decoded.",
        "media:unusual_recordings",
        (25, 25),
        missing="A change of format in mid-stream.",
    ),
    Row(
        27,
        "Programs in place of weights, arrays, face models, judges",
        "Never executed; the file is named",
        "Fifteen pickled programs in four forms for every reader of binary files.",
        "hostile:malicious_checkpoints",
        (240, 2000),
    ),
    Row(
        28,
        "Archives that lead out of their folder",
        "Nothing is written outside",
        "ZIP and TAR files with such names, links and devices, given to everything that reads a file.",
        "hostile:malicious_archives",
        (160, 400),
    ),
    Row(
        29,
        "Configurations that name foreign functions, resolvers, secrets, other folders; lines of nonsense",
        "One line that names the key, exit code 2; nothing is executed or written",
        "Command lines with `_target_`s outside the allowed classes, `${oc.env:...}`, `../`, Hydra's keys; "
        "then six hundred of all commands with values that make no sense, up to where work would begin.",
        "hostile:malicious_configurations",
        (40, 670),
    ),
    Row(
        30,
        "Names that are code in HTML, LaTeX, Markdown, CSV",
        "Escaped: no script, no command, no formula, as many columns",
        "Clips, texts, methods and notes of a report get such names.",
        "hostile:injections",
        (9, 60),
        missing="The page is parsed, not opened in a browser; LaTeX is checked for commands and braces, "
        "not compiled.",
    ),
    Row(
        31,
        "Secrets in the environment",
        "In no file that is written",
        "Twenty variables with marked values; a study with a failing cell and the offline mirror of "
        "Weights & Biases.",
        "hostile:secrets",
        (20, 20),
    ),
    Row(
        32,
        "No network: refused, blackholed, without names",
        "No connection is tried; the study is complete and as fast",
        "Python's sockets refuse, wait or resolve nothing, without and with the offline mirror.",
        "hostile:no_network",
        (4, 12),
    ),
    Row(
        33,
        "The clock jumps, the time zone changes, files bear other times",
        "Nothing is done twice, nothing is decided by it",
        "`time.time` jumps by up to a year during a run, all files get other times, and the study is run "
        "again.",
        "circumstances:clocks",
        (3, 20),
    ),
    Row(
        34,
        "Other locales, difficult folder names, umask 077, no HOME, a read-only source tree",
        "The same bytes",
        "The toy study under each, six of them as processes of their own.",
        "circumstances:surroundings",
        (6, 12),
    ),
    Row(
        35,
        "Another hash seed, folders listed in another order",
        "The same bytes",
        "`PYTHONHASHSEED` in every fourth run, shuffled `os.scandir` and `os.listdir` in the others.",
        "circumstances:orders",
        (4, 80),
        missing="The order of the test suite itself.",
    ),
    Row(
        36,
        "1, 2, 4 or 8 workers, jobs that end in another order",
        "The same bytes",
        "A toy study of four cells whose jobs are delayed at random.",
        "circumstances:worker_counts",
        (4, 24),
        missing="Executors other than local workers: Slurm, Ray and PostgreSQL are not built yet.",
    ),
    Row(
        37,
        "Another instruction set or math library setting between save and resume",
        "Other bits are another fingerprint, and so other stages: never mixed",
        "Fresh processes under the settings that torch, oneDNN, MKL, OpenBLAS and NumPy know; their "
        "fingerprint and "
        "the bits of results of all these libraries.",
        "circumstances:instruction_sets",
        (2, 10),
    ),
    Row(
        38,
        "Code, data, configuration or library versions change between two runs",
        "What is affected is computed again, the rest is reused",
        "Edits of a toy study, each with the stages that must and must not get another identity.",
        "circumstances:changes",
        (24, 24),
    ),
    Row(
        39,
        "Manifests of other versions",
        "Read, or refused by name",
        "Manifests with other schemas, keys that are missing and keys that are unknown.",
        "circumstances:old_versions",
        (20, 20),
    ),
    Row(
        40,
        "Two runs from nothing",
        "The same bytes, prepared clips included",
        "The toy study in another folder by a process of its own, against a forked one.",
        "circumstances:from_nothing",
        (1, 3),
        missing="Two machines.",
    ),
    Row(
        41,
        "The same study over and over in one process",
        "Memory grows by less than 1 MB a run, open files and shared memory not at all",
        "A toy study and its report, repeated.",
        "circumstances:soak",
        (0, 40),
    ),
    Row(
        42,
        "An ablation that does nothing, and one with a planted effect",
        "False alarms at most 5 % and two standard errors; the effect is found in 80 % of the studies",
        "Simulated studies of 3 seeds and 13 sentences, judged by the report's intervals.",
        "simulated:planted_effects",
        (200, 2000),
    ),
    Row(
        43,
        "A changed operator or number in the code of metrics and statistics",
        "The tests notice it (90 % of the changes)",
        "A random sample of mutants, each with the tests that know the module.",
        "simulated:mutants",
        (0, 60),
        missing="All mutants: each costs seconds to minutes.",
    ),
    Row(
        44,
        "Bundles of results that were tampered with",
        "Caught by `verify`",
        "There is no command `verify`.",
    ),
)


def row(number: int) -> Row:
    return next(each for each in ROWS if each.number == number)
