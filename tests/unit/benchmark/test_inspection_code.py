"""Verdicts on recordings are kept by the digest of the code that reached them."""

from __future__ import annotations

import sys
from pathlib import Path

import models.preprocess.audio
import models.preprocess.video  # noqa: F401
from benchmark.data.recordings import inspecting_code


def test_verdicts_follow_all_code_that_reads_media() -> None:
    loaded = [module for name, module in sys.modules.items() if name.startswith("models.preprocess")]
    files = {Path(module.__file__) for module in loaded if module.__file__}
    assert any(file.parent.name == "layout" for file in files)
    assert files <= set(inspecting_code())
