"""From directories of records to a folder: figures, tables and the page."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from beyondlinear.report import (
    attributions,
    classes,
    diagnostics,
    drawing,
    facts,
    figures,
    interactive,
    methods,
)
from beyondlinear.report.cells import cells as cells_of
from beyondlinear.report.checklist import checklist
from beyondlinear.report.comparisons import comparisons
from beyondlinear.report.drawing import Figure
from beyondlinear.report.gaps import find_gaps
from beyondlinear.report.page import Picture, page_table, picture, render
from beyondlinear.report.reading import GatheredFits, ReadingProblem, read
from beyondlinear.report.sentences import counted
from beyondlinear.report.signal_tests import excesses, residual_tests
from beyondlinear.report.statistics import Calibration
from beyondlinear.report.verdict import PanelVerdict, verdicts
from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import atomic

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
        (
            "Means over folds and seeds; low, high: 95 % interval of the model at the largest"
            " fraction, by cluster bootstrap over groups (from 5 groups on); ece: expected"
            " calibration error."
        ),
    ),
    "comparisons": (
        "Comparison with the certified linear model",
        (
            "Signal present, same folds and seeds, largest fraction. Interval and p: corrected"
            " resampled t-test; p holm: over all non-linear models; worse, equivalent, better:"
            " posterior probabilities with a region of practical equivalence of ±0.01."
        ),
    ),
    "excess": (
        "Excess over labels that are linear by construction",
        (
            "Real labels minus the mean of draws; interval: of one more draw. p holm only where the"
            " row could show non-linear signal."
        ),
    ),
    "tests": (
        "Residual-prediction test",
        (
            "Is there signal that the certified linear model cannot use; best: of the statistics"
            " together."
        ),
    ),
    "coefficients": (
        "Coefficients of linear models",
        (
            "Signal present, largest fraction, the first genes of each model; change of the class's"
            " score, against the mean of the classes, for one unit more of the gene before scaling."
            " Models are kept with results.keep_model=true; `beyondlinear attribute` writes all"
            " genes, and integrated gradients of networks."
        ),
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
) -> list[PanelVerdict]:
    """Write figures/, tables/ and index.html to `out` and return the verdicts.

    :param store: where the records are now, if they were moved since
    :param said: is told what is done, a line each
    :raises ResultsError: nothing to report, or `out` cannot be written
    """
    started = time.monotonic()
    out = Path(out)
    gathered = read(directories, store)
    said(
        f"{len(gathered.fits):,} fits and {len(gathered.tests):,} tests read"
        f" ({time.monotonic() - started:.1f} s)"
    )
    tables, reliability = _tables(gathered)
    found = verdicts(gathered, tables)
    problems = find_gaps(gathered)
    files = {**tables, "fits": gathered.fits, "missing": pd.DataFrame(problems)}
    _write_tables(files, out)
    planned = _figures(gathered, tables, reliability)
    pictures = _draw(planned, out / "figures", problems, said)
    curves = interactive.curves(gathered)
    text = render(_context(gathered, tables, found, problems, pictures), curves)
    with atomic(out / "index.html") as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    said(
        f"{out / 'index.html'} ({len(text) / 1e6:.1f} MB), {len(pictures)} figures, {len(files)}"
        " tables"
    )
    said(f"this took {time.monotonic() - started:.1f} s")
    return found


def _tables(gathered: GatheredFits) -> tuple[dict[str, pd.DataFrame], dict[str, Calibration]]:
    """The tables of the page by their names in NOTES, and the reliability of each cell."""
    cells, reliability = cells_of(gathered)
    tables = {
        "cells": cells,
        "comparisons": comparisons(gathered),
        "excess": excesses(gathered),
        "tests": residual_tests(gathered),
        "recall": classes.per_class(gathered),
        "coefficients": attributions.genes(gathered, gathered.problems),
        "data": facts.data(gathered),
        "classes": facts.classes(gathered),
        "protocol": facts.protocol(gathered),
        "audit": facts.audit(gathered),
        "confounding": facts.confounding(gathered),
        "versions": facts.versions(gathered),
    }
    return tables, reliability


def _write_tables(tables: Mapping[str, pd.DataFrame], out: Path) -> None:
    """:raises ResultsError: `out` cannot be written"""
    try:
        for folder in ("figures", "tables"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            table.to_csv(out / "tables" / f"{name}.csv", index=False)
    except OSError as e:
        raise ResultsError(f"-o {out} cannot be written: {e.strerror or e}") from e


def _figures(
    gathered: GatheredFits,
    tables: Mapping[str, pd.DataFrame],
    reliability: Mapping[str, Calibration],
) -> list[Figure]:
    """All that these fits have something to show in, the main one first."""
    learning_curve = figures.learning_curve(gathered)
    before_after = figures.before_after(gathered, tables["cells"])
    main = [learning_curve, before_after]
    # a learning curve of one training size shows nothing that the comparison does not show better
    n_sizes = gathered.done.groupby("panel").fraction.nunique()
    if before_after is not None and n_sizes.max() == 1:
        main = [before_after, learning_curve]
    planned = [
        *main,
        classes.recall(gathered),
        classes.confusion(gathered),
        attributions.figure(gathered, tables["coefficients"]),
        diagnostics.reliability(gathered, tables["cells"], reliability),
        diagnostics.optimum_gap(gathered),
        diagnostics.training(gathered),
        diagnostics.tuning(gathered),
        diagnostics.cost(gathered),
    ]
    return [figure for figure in planned if figure is not None]


def _draw(
    planned: Sequence[Figure],
    folder: Path,
    problems: list[ReadingProblem],
    said: Callable[[str], None],
) -> list[Picture]:
    """The pictures of the page; a figure that cannot be drawn is named in `problems`."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    pictures = []
    for figure in planned:
        try:
            drawing.write(figure.draw(), folder, figure.name)
            pictures.append(picture(figure, folder))
        except Exception as e:  # one figure's failure must not cost the page
            text = f"the figure '{figure.title}' could not be drawn ({type(e).__name__}: {e})"
            problems.append(ReadingProblem("unreadable", text))
            said(text)
    return pictures


def _for_page(table: pd.DataFrame, n_panels: int) -> pd.DataFrame:
    """The table without what only sentences need, and without the name of the data where the page
    has only one."""
    left_out = ["reference_in_words"]
    if n_panels == 1:
        left_out.append("panel")
    return table.drop(columns=left_out, errors="ignore")


def _context(
    gathered: GatheredFits,
    tables: Mapping[str, pd.DataFrame],
    found: list[PanelVerdict],
    problems: list[ReadingProblem],
    pictures: list[Picture],
) -> dict[str, object]:
    """What page.html is filled with."""
    paragraph, cited = methods.paragraph(gathered)
    panels = [verdict.panel for verdict in found]
    done = gathered.done
    is_main = bool(pictures) and pictures[0].name in ("learning_curve", "before_after")
    return {
        "subject": panels[0] if len(panels) == 1 else f"{len(panels)} data sets",
        "line": _counts(gathered),
        "leaks": gathered.leaks(done),
        "sections": SECTIONS,
        "verdicts": found,
        "problems": problems,
        "lost": len(gathered.fits) - len(done),
        "n_fits": len(gathered.fits),
        "main_figure": pictures[0] if is_main else None,
        "figures": pictures[1:] if is_main else pictures,
        "tables": {
            name: page_table(_for_page(table, len(panels)), name, *NOTES[name])
            for name, table in tables.items()
        },
        "audit_line": facts.audit_line(gathered),
        "paragraph": paragraph,
        "citations": [(key, methods.CITATIONS[key]) for key in cited],
        "checklist": checklist(gathered),
        "commands": "\n".join(gathered.commands),
    }


def _counts(gathered: GatheredFits) -> str:
    """ "40 finished fits, 2 models, 5 folds, 1 seed, 0 residual-prediction tests." """
    done = gathered.done
    counts = {
        "finished fit": len(done),
        "model": done.learner.nunique(),
        "fold": done.fold.nunique(),
        "seed": done.seed.nunique(),
        "residual-prediction test": len(gathered.tests),
    }
    return ", ".join(counted(n, noun) for noun, n in counts.items()) + "."
