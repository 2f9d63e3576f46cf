"""What all figures of a report share: their look, what they are of, and their files."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import pandas as pd
from plotnine import ggplot, theme, theme_bw
from plotnine.themes.elements import element_blank, element_rect, element_text

MOST_PANELS = 12
_PANEL_WIDTH = 34  # characters of a panel's name on a line


@dataclass(frozen=True)
class Figure:
    """name: of its files; caption: what is shown and of what; draw: makes the plot."""

    name: str
    title: str
    caption: str
    draw: Callable[[], ggplot]


def plain(text: object) -> str:
    """A name as matplotlib shows it: $ would begin a formula."""
    return str(text).replace("$", r"\$")


def sample(fits: pd.DataFrame) -> str:
    """Of what: "n = 480 training and 120 test samples a fit; 5 folds, seeds 0, 1; 10 fits"."""
    n_folds = fits.fold.nunique()
    seeds = sorted(fits.seed.unique())
    shown_seeds = ", ".join(f"{seed:g}" for seed in seeds[:6])
    if len(seeds) > 6:
        shown_seeds += ", …"
    return (
        f"n = {_span(fits.n_outer_train)} training and {_span(fits.n_test)} test samples a fit;"
        f" {n_folds} fold{'s' * (n_folds > 1)}, seed{'s' * (len(seeds) > 1)} {shown_seeds};"
        f" {len(fits):,} fits"
    )


def _span(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return f"{low:,.0f}" if low == high else f"{low:,.0f}–{high:,.0f}"


def largest(done: pd.DataFrame) -> pd.DataFrame:
    """Fits with the real labels at the largest fraction of their panel."""
    real = done[done.control == "none"]
    return real[real.fraction == real.groupby("panel").fraction.transform("max")]


def in_panels(frame: pd.DataFrame, most: int = MOST_PANELS) -> tuple[pd.DataFrame, int]:
    """The rows of the first panels, their names wrapped, and how many panels these are."""
    first = sorted(frame.panel.unique())[:most]
    shown = frame[frame.panel.isin(first)].copy()
    shown["panel"] = wrapped(shown.panel)
    return shown, len(first)


def wrapped(panels: pd.Series) -> list[str]:
    """Names of panels in lines that fit above a panel."""
    return [fill(plain(panel), _PANEL_WIDTH) for panel in panels]


def n_rows(n_panels: int, n_columns: int) -> int:
    """Rows that so many panels take, as ⌈n_panels / n_columns⌉."""
    return -(-n_panels // n_columns)


def style(width: float, height: float) -> theme:
    """The look of all figures; width and height in inches."""
    return theme_bw(base_size=10) + theme(
        figure_size=(width, height),
        legend_key=element_blank(),
        panel_grid_minor=element_blank(),
        strip_background=element_rect(fill="#EEEEEE", color="none"),
        strip_text=element_text(size=9),
        legend_position="right",
    )


def write(plot: ggplot, folder: Path, name: str) -> None:
    """PNG (200 dpi), SVG and PDF of one plot, which is built, laid out and measured once."""
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = plot.draw(show=False)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        box = figure.get_tightbbox().padded(0.1)
        for suffix in ("png", "svg", "pdf"):
            # no date in the file: the same records give the same bytes
            metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix)
            with plt.rc_context({"svg.hashsalt": "beyondlinear", "svg.fonttype": "path"}):
                figure.savefig(
                    folder / f"{name}.{suffix}", dpi=200, bbox_inches=box, metadata=metadata
                )
        plt.close(figure)
