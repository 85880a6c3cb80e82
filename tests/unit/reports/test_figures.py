"""A figure is the same bytes however the solver of its layout rounds."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from reports.figures import export, plain_style


class Unsteady(ConstrainedLayoutEngine):
    """Constrained layout whose last bits are others at each call, as memory decides them elsewhere."""

    calls = 0

    def execute(self, fig):
        super().execute(fig)
        Unsteady.calls += 1
        for axes in fig.axes:
            x, y, width, height = axes.get_position().bounds
            axes._set_position((x, y, width, height * (1 + Unsteady.calls * 1e-14)))


def drawn() -> tuple[bytes, bytes, str]:
    with mpl.rc_context(plain_style()):
        figure = Figure(figsize=(4, 6), layout=Unsteady())
        FigureCanvasAgg(figure)
        for axes in figure.subplots(5, 1):
            axes.fill_between([0, 1, 2], [0, 1, 0], np.array([1, 2, 3]))
            axes.set_ylabel("a label")
        return export(figure)


def test_the_last_bits_of_the_layout_leave_no_trace() -> None:
    first = drawn()
    assert all(drawn() == first for _ in range(3))
    assert Unsteady.calls >= 4
