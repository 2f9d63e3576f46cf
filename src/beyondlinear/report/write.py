"""From directories of records to a folder: figures, tables and the page."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from beyondlinear.errors import ResultsError
from beyondlinear.report import attributions, classes, diagnostics, facts, figures, interactive, methods, summaries
from beyondlinear.report.gaps import find_gaps
from beyondlinear.report.page import Picture, picture, render, view
from beyondlinear.report.reading import Problem, Reading, read
from beyondlinear.report.verdict import Verdict, counted, verdicts
from beyondlinear.results import atomic

SECTIONS = (
    ("verdict", "Verdict"),
    ("missing", "Missing"),
    ("data", "Data"),
    ("protocol", "Protocol"),
    ("audit", "Audit"),
    ("results", "Results"),
    ("methods", "Methods"),
    ("reproduce", "Reproduce"),
)
NOTES = {
    "cells": (
        "Cells",
        "Means over folds and seeds; low, high: 95 % interval of the model at the largest fraction, by cluster "
        "bootstrap over groups "
        "(from 5 groups on); ece: expected calibration error.",
    ),
    "comparisons": (
        "Comparison with the certified linear model",
        "Signal present, same folds and seeds, largest fraction. Interval and p: corrected resampled t-test; p "
        "holm: over all non-linear "
        "models; worse, equivalent, better: posterior probabilities with a region of practical equivalence of ±0.01.",
    ),
    "excess": (
        "Excess over labels that are linear by construction",
        "Real labels minus the mean of draws; interval: of one more draw. p holm only where the row could show "
        "non-linear signal.",
    ),
    "tests": (
        "Residual-prediction test",
        "Is there signal that the certified linear model cannot use; best: of the statistics together.",
    ),
    "coefficients": (
        "Coefficients of linear models",
        "Signal present, largest fraction, the first genes of each model; change of the class's score, against the mean of "
        "the classes, for one unit more of the gene before scaling. Models are kept with results.keep_model=true; "
        "`beyondlinear attribute` writes all genes, and integrated gradients of networks.",
    ),
    "recall": ("Recall by class", "Signal present, largest fraction."),
    "data": ("Data sets", ""),
    "classes": ("Classes", ""),
    "protocol": ("Settings", "Several values: they differ between runs."),
    "audit": ("Findings of the audit", ""),
    "confounding": (
        "Group and label",
        "Cramér's V: 0, the group says nothing about the label; 1, it gives the label away.",
    ),
    "versions": ("Versions and hashes", ""),
}


def write_report(
    directories: Sequence[str],
    out: str | Path = "report",
    store: str | None = None,
    said: Callable[[str], None] = print,
) -> list[Verdict]:
    """Write figures/, tables/ and index.html to `out` and return the verdicts.

    :raises ResultsError: nothing to report, or `out` cannot be written
    """
    started = time.monotonic()
    out = Path(out)
    reading = read(directories, store)
    said(f"{len(reading.fits):,} fits and {len(reading.tests):,} tests read ({time.monotonic() - started:.1f} s)")
    cells, reliability = summaries.cells(reading)
    tables: dict[str, pd.DataFrame] = {
        "cells": cells,
        "comparisons": summaries.comparisons(reading),
        "excess": summaries.excesses(reading),
        "tests": summaries.residual_tests(reading),
        "recall": classes.per_class(reading),
        "coefficients": attributions.genes(reading, reading.problems),
    }
    tables |= {
        name: getattr(facts, name)(reading)
        for name in ("data", "classes", "protocol", "audit", "confounding", "versions")
    }
    found = verdicts(reading, tables)
    problems = find_gaps(reading)
    try:
        for folder in ("figures", "tables"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        for name, table in (tables | {"fits": reading.fits, "missing": pd.DataFrame(problems)}).items():
            table.to_csv(out / "tables" / f"{name}.csv", index=False)
    except OSError as e:
        raise ResultsError(f"-o {out} cannot be written: {e.strerror or e}") from e
    pictures, main = _draw(reading, tables, reliability, out / "figures", problems, said)
    curves = interactive.curves(reading)
    context = _context(reading, tables, found, problems, pictures, main)
    text = render(context, curves)
    with atomic(out / "index.html") as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    n_figures = len(pictures) + (main is not None)
    said(f"{out / 'index.html'} ({len(text) / 1e6:.1f} MB), {n_figures} figures, {len(tables) + 2} tables")
    said(f"this took {time.monotonic() - started:.1f} s")
    return found


def _draw(
    reading: Reading,
    tables: dict[str, pd.DataFrame],
    reliability: dict[str, Any],
    folder: Path,
    problems: list[Problem],
    said: Callable[[str], None],
) -> tuple[list[Picture], Picture | None]:
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    planned = [
        figures.learning_curve(reading),
        figures.before_after(reading, tables["cells"]),
        classes.recall(reading),
        classes.confusion(reading),
        attributions.figure(reading, tables["coefficients"]),
        diagnostics.reliability(tables["cells"], reliability),
        diagnostics.optimum_gap(reading),
        diagnostics.training(reading),
        diagnostics.tuning(reading),
        diagnostics.cost(reading),
    ]
    drawn, main = [], None
    # a learning curve of one training size shows nothing that the comparison does not show better
    sizes = reading.done.groupby("panel").fraction.nunique()
    first = "before_after" if len(sizes) and sizes.max() == 1 and planned[1] is not None else "learning_curve"
    for figure in planned:
        if figure is None:
            continue
        try:
            figures.write(figure.draw(), folder, figure.name)
            done = picture(figure, folder)
        except Exception as e:  # one figure's failure must not cost the page
            problems.append(
                Problem("unreadable", f"the figure '{figure.title}' could not be drawn ({type(e).__name__}: {e})")
            )
            said(problems[-1].text)
            continue
        if figure.name == first:
            main = done
        else:
            drawn.append(done)
    return drawn, main


def _for_page(table: pd.DataFrame, n_panels: int) -> pd.DataFrame:
    """The table without the name of the data where the page has only one."""
    return table.drop(columns="panel", errors="ignore") if n_panels == 1 else table


def _context(
    reading: Reading,
    tables: dict[str, pd.DataFrame],
    found: list[Verdict],
    problems: list[Problem],
    pictures: list[Picture],
    main: Picture | None,
) -> dict[str, Any]:
    text, cited = methods.paragraph(reading)
    panels = [v.panel for v in found]
    done = reading.done
    counts = (len(done), "finished fit"), (done.learner.nunique(), "model"), (done.fold.nunique(), "fold")
    more = (done.seed.nunique(), "seed"), (len(reading.tests), "residual-prediction test")
    line = ", ".join(counted(n, noun) for n, noun in (*counts, *more)) + "."
    return {
        "subject": panels[0] if len(panels) == 1 else f"{len(panels)} data sets",
        "line": line,
        "leaks": sum(any(f.get("severity") == "leak" for f in reading.records[k].get("audit") or []) for k in done.key),
        "sections": SECTIONS,
        "verdicts": found,
        "problems": problems,
        "lost": len(reading.fits) - len(done),
        "n_fits": len(reading.fits),
        "main_figure": main,
        "figures": pictures,
        "tables": {name: view(_for_page(table, len(panels)), name, *NOTES[name]) for name, table in tables.items()},
        "audit_line": facts.audit_line(reading),
        "paragraph": text,
        "citations": [(key, methods.CITATIONS[key]) for key in cited],
        "checklist": methods.checklist(reading),
        "commands": "\n".join(reading.commands),
    }
