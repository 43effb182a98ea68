"""What the reports of all studies share: templates, and figures as pictures inside the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wavefoundry.reports import content

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATES = Path(__file__).parent / "templates"


class Picture(NamedTuple):
    """A figure of the report: its SVG, the sentence that describes it, and what else a listener needs to hear."""

    svg: Any
    caption: str
    alternative: str = ""


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page from one of the templates; text is escaped, a name that is missing is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["text"] = content.text
    return environment.get_template(template).render(context)


def svg(figure: Figure, name: str) -> Any:
    """A figure as markup for a page; ``name`` keeps its identifiers apart from those of other figures."""
    from markupsafe import Markup

    from wavefoundry.reports import style

    # matplotlib escapes all text that it writes, so no name from the run can become markup.
    return Markup(style.to_svg(figure, name))


def pictures(drawn: Mapping[str, Figure | None], captions: Mapping[str, str]) -> dict[str, Picture]:
    """Figures with their captions; those that have nothing to show (None) are left out."""
    return {name: Picture(svg(figure, name), captions[name]) for name, figure in drawn.items() if figure is not None}
