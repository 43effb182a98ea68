"""The look of every figure, and figures as text: SVG for a page, PNG for a file.

Colours are those of Okabe and Ito, distinguishable with any colour vision. In SVG each becomes a CSS
variable with the colour as fall-back, so that a page can lighten them on a dark background.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import wraps
from html import unescape
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "ink": "#1b1f24",
    "muted": "#6b7178",
    "grid": "#dcdfe3",
    "paper": "#fefefd",
    "blue": "#0072b2",
    "red": "#d55e00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "sky": "#56b4e9",
    "amber": "#e69f00",
}
SERIES = ("blue", "green", "purple", "amber", "sky")
MARKERS = ("o", "s", "D", "^", "v")
COLOUR_MAP = "viridis"
FONTS = "STIXGeneral, 'STIX Two Text', 'Times New Roman', Tinos, 'Liberation Serif', serif"
"""Of text in SVG, which is placed and stretched by the widths of the first: all of them are about as wide."""
LONGEST_NAME = 28

STYLE: dict[str, Any] = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 11.5,
    "axes.labelsize": 12,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.4,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.facecolor": COLOURS["paper"],
    "axes.facecolor": "none",
    "axes.edgecolor": COLOURS["ink"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.titlecolor": COLOURS["ink"],
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["ink"],
    "ytick.color": COLOURS["ink"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.6,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
    "lines.linewidth": 1.3,
    "lines.markersize": 5,
    "errorbar.capsize": 2,
    "svg.fonttype": "none",
    "svg.hashsalt": "wavefoundry",
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Run a drawing function under ``STYLE`` without leaving a trace in the caller's matplotlib settings."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib

        with matplotlib.rc_context(STYLE):  # pyright: ignore[reportArgumentType]
            return draw(*args, **kwargs)

    return wrapper


def new_figure(width: float = 7.2, height: float = 3.0, **grid: Any) -> tuple[Figure, list[Axes]]:
    """A figure outside pyplot, with its axes in one flat list.

    Args:
        width: inches.
        height: inches.
        grid: arguments of ``Figure.subplots`` (``nrows``, ``ncols``, ``sharex``, ...).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from wavefoundry.reports.canvas import Picture

    figure = Picture(figsize=(width, height), layout="constrained")
    figure.as_png = to_png
    FigureCanvasAgg(figure)
    axes = figure.subplots(squeeze=False, **grid)
    return figure, list(axes.flat)


def mark(word: str, colour: str, shape: str = "o") -> dict[str, Any]:
    """How a point shows its verdict, as arguments of a line: the shape says it without any colour.

    Args:
        word: "trusted" is filled, "upper bound" and "estimate" half filled, "refused" a cross, all else hollow.
        colour: of the point. shape: its marker, a cross excepted.
    """
    if word == "refused":
        return {"marker": "x", "color": colour, "ms": 5.6, "mew": 1.6}
    style = {"marker": shape, "color": colour, "mec": colour, "ms": 5.2, "mew": 1.1, "mfc": COLOURS["paper"]}
    if word == "trusted":
        return style | {"mfc": colour}
    if word in ("upper bound", "estimate"):
        return style | {"mfc": colour, "fillstyle": "bottom", "markerfacecoloralt": COLOURS["paper"]}
    return style


def symbol(name: str) -> str:
    """A coupling or observable as mathematics (``J2`` -> ``$J_{2}$``), any other name literally."""
    if match := re.fullmatch(r"([A-Za-z])_?(\d{0,2})", name):
        return f"$\\mathit{{{match[1]}}}_{{{match[2]}}}$" if match[2] else f"$\\mathit{{{match[1]}}}$"
    return literal(name)


def literal(text: str) -> str:
    """Text that matplotlib shows as written: no mathematics, no control characters, cut to a sane length."""
    shown = "".join(character for character in text if character.isprintable())
    shown = shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 1] + "\u2026"
    return shown.replace("$", r"\$")


@styled
def to_svg(figure: Figure, name: str) -> str:
    """The figure as an ``<svg>`` element for an HTML page: no prolog, no metadata, no outside reference.

    Args:
        figure: the figure.
        name: prefix that keeps the element's identifiers apart from those of other figures on the page.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+xmlns(:xlink)?="[^"]*"', "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'xlink:href="#', f'href="#{name}-', svg).replace("xlink:href=", "href=")
    svg = svg.replace("url(#", f"url(#{name}-")
    svg = re.sub(r'<text style="([^"]*)"([^>]*)>([^<]+)</text>', _as_wide, svg)
    svg = svg.replace("font-family: 'STIXGeneral'", f"font-family: {FONTS}")
    # A hundredth of a point is finer than any screen, and halves the size of the page.
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    for colour, code in COLOURS.items():
        svg = re.sub(code, f"var(--{colour}, {code})", svg, flags=re.IGNORECASE)
    # The page decides the size; the viewBox keeps the proportions.
    opening, rest = svg.split(">", 1)
    return re.sub(r'\s(width|height)="[^"]*"', "", opening) + ">" + rest


def _as_wide(text: re.Match[str]) -> str:
    """A text as wide as the figure was laid out for, whatever font shows it."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    look: dict[str, Any] = dict(part.split(": ", 1) for part in text[1].split("; "))
    font = FontProperties(
        family="STIXGeneral", size=float(look["font-size"].removesuffix("px")),
        style=look.get("font-style", "normal"), weight=look.get("font-weight", "normal"),
    )  # fmt: skip
    width, _, _ = text_to_path.get_text_width_height_descent(unescape(text[3]).strip(), font, ismath=False)
    length = f'textLength="{width:.2f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text style="{text[1]}"{text[2]} {length}>{text[3]}</text>'


@styled
def to_png(figure: Figure, dpi: int = 160) -> bytes:
    """The figure as the bytes of a PNG file, on an opaque background."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()
