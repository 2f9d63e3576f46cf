"""The page: everything of a report in one file that opens from disk, without a network. Names from
data are escaped."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from beyondlinear.report.drawing import Figure
from beyondlinear.report.interactive import CurveLine, Curves

_HERE = Path(__file__).parent
_LARGEST_SVG = 600_000  # bytes; a larger picture is embedded as PNG
_MOST_ROWS = 2000  # of a table in the page; its file holds all
_LARGEST_WHOLE_NUMBER = 1e15  # from here on a float no longer tells neighbours apart
_SIGNALS = {
    "present": "present",
    "removed": "removed (dashed)",
    "linear": "linear labels (dotted)",
}


@dataclass(frozen=True)
class TableColumn:
    """number: whether its values are numbers, which are sorted as such."""

    label: str
    number: bool


@dataclass(frozen=True)
class TableCell:
    """text: for the eye; value: a number whole, "" where there is none."""

    text: str
    value: str = ""
    number: bool = False


@dataclass(frozen=True)
class TableRow:
    """id: that sentences refer to."""

    id: str
    cells: list[TableCell]


@dataclass(frozen=True)
class PageTable:
    """A table as the page shows it."""

    name: str
    title: str
    note: str
    empty: str
    columns: list[TableColumn] = field(default_factory=list)
    rows: list[TableRow] = field(default_factory=list)


def page_table(
    table: pd.DataFrame,
    name: str,
    title: str,
    note: str = "",
    empty: str = "nothing of the kind is in the records",
) -> PageTable:
    """A table with its columns labelled, its numbers rounded for the eye and whole for sorting.

    :param empty: what is said in place of a table without rows
    """
    if table.empty:
        return PageTable(name, title, note, empty)
    if len(table) > _MOST_ROWS:
        note = f"{note} The first {_MOST_ROWS:,} of {len(table):,} rows.".strip()
    is_number = {column: _holds_numbers(table[column]) for column in table.columns}
    columns = [
        TableColumn(str(column).replace("_", " "), number) for column, number in is_number.items()
    ]
    rows = []
    for values in table.head(_MOST_ROWS).to_dict("records"):
        cells = [_cell(values[column], number) for column, number in is_number.items()]
        rows.append(TableRow(str(values.get("id", "")), cells))
    return PageTable(name, title, note, empty, columns, rows)


def _holds_numbers(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _cell(value: object, number: bool) -> TableCell:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return TableCell("–", "", number)
    if isinstance(value, bool | np.bool_):
        return TableCell("yes" if value else "no")
    if not number or not isinstance(value, int | float | np.number):
        return TableCell(str(value))
    as_float = float(value)
    is_whole = as_float.is_integer() and abs(as_float) < _LARGEST_WHOLE_NUMBER
    text = f"{value:,.0f}" if is_whole else f"{value:,.3f}"
    return TableCell(text, repr(as_float), number=True)


@dataclass(frozen=True)
class Picture:
    """A figure in the page. source: an address that holds it; width, height: in CSS pixels."""

    name: str
    title: str
    caption: str
    source: Markup
    width: int
    height: int


def picture(figure: Figure, folder: Path) -> Picture:
    """A written figure as an address that holds it: SVG, or PNG where that would be large."""
    from PIL import Image

    with Image.open(folder / f"{figure.name}.png") as image:
        width, height = image.size
    path = folder / f"{figure.name}.svg"
    kind = "svg+xml"
    if path.stat().st_size > _LARGEST_SVG:
        path = path.with_suffix(".png")
        kind = "png"
    content = base64.b64encode(path.read_bytes()).decode()
    source = Markup(f"data:image/{kind};base64,{content}")
    return Picture(figure.name, figure.title, figure.caption, source, width // 2, height // 2)


def script_json(content: object) -> Markup:
    """JSON that no browser takes for markup, whatever is in its strings."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def render(context: Mapping[str, object], curves: Curves) -> str:
    """The page as text. Whatever is not markup of ours is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    has_curves = bool(curves["panels"])
    return environment.get_template("page.html").render(
        context,
        css=Markup((_HERE / "page.css").read_text()),
        script=Markup((_HERE / "page.js").read_text()),
        plotly=_plotly() if has_curves else Markup(""),
        curves=script_json(curves),
        curves_html=has_curves,
        panel_names=[panel["name"] for panel in curves["panels"]],
        learners=list(curves["learners"].items()),
        signals=_signals(curves),
    )


def _signals(curves: Curves) -> list[tuple[str, str]]:
    """What of signal present, removed and linear labels is in the curves, with its label."""
    lines = [line for panel in curves["panels"] for line in panel["lines"]]
    drawn = {_signal(line) for line in lines}
    return [(signal, label) for signal, label in _SIGNALS.items() if signal in drawn]


def _signal(line: CurveLine) -> str:
    if line["labels"]:
        return "linear"
    return "present" if line["removal"] == "none" else "removed"


def _plotly() -> Markup:
    """plotly.js as its Python package ships it."""
    import plotly

    path = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    text = path.read_text(encoding="utf-8")
    return Markup(text.replace("</script", "<\\/script"))
