"""The page: everything of a report in one file that opens from disk, without a network. Names from data are escaped."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from beyondlinear.report.figures import Figure

_HERE = Path(__file__).parent
_LARGEST_SVG = 600_000  # bytes; a larger picture is embedded as PNG
_MOST_ROWS = 2000  # of a table in the page; its file holds all


@dataclass(frozen=True)
class Column:
    label: str
    number: bool


@dataclass(frozen=True)
class Cell:
    text: str
    value: str = ""
    number: bool = False


@dataclass(frozen=True)
class Row:
    id: str
    cells: list[Cell]


@dataclass(frozen=True)
class View:
    """A table as the page shows it."""

    name: str
    title: str
    note: str
    empty: str
    columns: list[Column] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def view(
    table: pd.DataFrame, name: str, title: str, note: str = "", empty: str = "nothing of the kind is in the records"
) -> View:
    """A table with its columns labelled, its numbers rounded for the eye and whole for sorting."""
    if table.empty:
        return View(name, title, note, empty)
    if len(table) > _MOST_ROWS:
        note = f"{note} The first {_MOST_ROWS:,} of {len(table):,} rows.".strip()
    kinds = {c: pd.api.types.is_numeric_dtype(table[c]) and table[c].dtype != bool for c in table.columns}
    columns = [Column(str(c).replace("_", " "), kinds[c]) for c in table.columns]
    rows = [
        Row(str(values.get("id", "")), [_cell(values[c], kinds[c]) for c in table.columns])
        for values in table.head(_MOST_ROWS).to_dict("records")
    ]
    return View(name, title, note, empty, columns, rows)


def _cell(value: Any, number: bool) -> Cell:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return Cell("–", "", number)
    if isinstance(value, bool | np.bool_):
        return Cell("yes" if value else "no")
    if not number:
        return Cell(str(value))
    return Cell(
        f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:,.3f}",
        repr(float(value)),
        True,
    )


@dataclass(frozen=True)
class Picture:
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
    if path.stat().st_size > _LARGEST_SVG:
        path = path.with_suffix(".png")
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    source = Markup(f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}")
    return Picture(figure.name, figure.title, figure.caption, source, width // 2, height // 2)


def script_json(content: Any) -> Markup:
    """JSON that no browser takes for markup, whatever is in its strings."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def render(context: dict[str, Any], curves: dict[str, Any]) -> str:
    """The page as text. Whatever is not markup of ours is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    own: dict[str, Any] = {
        "css": Markup((_HERE / "page.css").read_text()),
        "script": Markup((_HERE / "page.js").read_text()),
    }
    own |= {"plotly": _plotly() if curves["panels"] else Markup(""), "curves": script_json(curves)}
    own |= {"panel_names": [p["name"] for p in curves["panels"]], "learners": list(curves["learners"].items())}
    own |= {"curves_html": bool(curves["panels"]), "signals": _signals(curves)}
    return environment.get_template("page.html").render(context | own)


def _signals(curves: dict[str, Any]) -> Sequence[tuple[str, str]]:
    lines = [line for p in curves["panels"] for line in p["lines"]]
    names = {"present": "present", "removed": "removed (dashed)", "linear": "linear labels (dotted)"}
    here = {"linear" if x["labels"] else "present" if x["removal"] == "none" else "removed" for x in lines}
    return [(k, v) for k, v in names.items() if k in here]


def _plotly() -> Markup:
    """plotly.js as its Python package ships it."""
    import plotly

    text = (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    return Markup(text.replace("</script", "<\\/script"))
