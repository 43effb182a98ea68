"""Figures that a notebook shows when they stand at the end of a cell, with and without its own plotting machinery."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure


class Picture(Figure):
    """A figure outside pyplot, which therefore has to say itself how it is shown.

    ``as_png`` turns it into the bytes of a PNG file.
    """

    as_png: Callable[[Figure, int], bytes]

    def _repr_png_(self) -> bytes:
        return self.as_png(self, 110)
