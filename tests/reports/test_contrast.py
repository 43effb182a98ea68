"""Words on the pages can be read: contrast of at least 4.5 with what is behind them (WCAG 2.1, level AA)."""

import itertools
import re
from pathlib import Path

import pytest

TEMPLATES = Path(__file__).parents[2] / "wavefoundry/reports/templates"
LEAST = 4.5


def luminance(code: str) -> float:
    """Relative luminance of a colour such as ``#0072b2`` or ``#ccc``."""
    digits = code.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(code: str, share: float, behind: str) -> str:
    """A colour of which a share is seen on another one."""
    pairs = [(int(code[at : at + 2], 16), int(behind[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


def test_contrast_is_that_of_the_standard():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#fff") == pytest.approx(4.54, abs=0.01)  # the grey that just passes on white


@pytest.mark.parametrize("page", ["report.html.j2", "watch.html"])
def test_every_colour_of_words_stands_out_in_every_palette(page: str):
    text = (TEMPLATES / page).read_text("utf-8")
    shared = "".join(path.read_text("utf-8") for path in TEMPLATES.glob("*.j2")) if page.endswith(".j2") else text
    words = set(re.findall(r"(?<![\w-])color: var\(--(\w+)\)", shared)) | {"ink"}
    assert len(words) >= 4
    palettes = [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", text, re.S)]
    assert len(palettes) >= 2
    for palette, word, behind in itertools.product(palettes, sorted(words), ("paper", "tint")):
        found = contrast(palette[word], palette[behind])
        assert found >= LEAST, f"{word} {palette[word]} on {behind} {palette[behind]}: {found:.2f}"


def test_words_of_their_own_colour_stand_out_on_shaded_rows():
    text = (TEMPLATES / "report.html.j2").read_text("utf-8")
    shades = re.findall(r"background: color-mix\(in srgb, var\(--(\w+)\) (\d+)%, transparent\)", text)
    assert len(shades) == 2
    for block in re.findall(r":root \{(.*?)\}", text, re.S):
        palette = dict(re.findall(r"--(\w+): (#\w{6})\b", block))
        if "paper" not in palette:
            continue  # print: short codes, on white
        for (shade, share), word in itertools.product(shades, ("ink", "muted", "red", "amber")):
            if word in ("ink", "muted", shade):
                assert contrast(palette[word], mixed(palette[shade], int(share) / 100, palette["paper"])) >= LEAST
