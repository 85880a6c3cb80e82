from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def fake():
    """The module that writes made-up run directories."""
    import importlib.util
    import sys

    spec = importlib.util.spec_from_file_location("fake_run", Path(__file__).with_name("fake.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
