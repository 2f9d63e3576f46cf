"""Which genes linear models go by: their coefficients, where the fits kept their models."""

import pandas as pd
from plotnine import (
    aes,
    coord_flip,
    facet_wrap,
    geom_col,
    geom_errorbar,
    ggplot,
    labs,
    scale_fill_brewer,
)

from beyondlinear.records.record import FitRecord
from beyondlinear.records.saved_model import SavedModel
from beyondlinear.report.drawing import Figure, in_panels, largest, n_rows, plain, sample, style
from beyondlinear.report.predict import coefficients, over_models
from beyondlinear.report.reading import GatheredFits, ReadingProblem
from beyondlinear.runtime.errors import ResultsError

COLUMNS = ["panel", "learner", "class", "gene", "coefficient", "sd", "models"]
SHOWN = 10  # genes of a panel and learner in the figure
TABLED = 50  # genes of a panel and learner in the table
MOST_MODELS = 50  # read, of a panel and learner


def genes(gathered: GatheredFits, problems: list[ReadingProblem]) -> pd.DataFrame:
    """One row a gene and class, the largest coefficients first: the change of the class's score,
    against the mean of the classes, for one unit more of the gene as it was given to the model
    before scaling; mean and sd over fits at the largest fraction with the signal present. Models
    that cannot be read are named in `problems`.
    """
    found = []
    fits = largest(gathered.done)
    fits = fits[fits.signal_removal == "none"]
    keeps = [_keeps_coefficients(gathered.records[key]) for key in fits.key]
    fits = fits[pd.Series(keeps, index=fits.index, dtype=bool)]
    for (panel, learner), of_learner in fits.groupby(["panel", "learner"], sort=True):
        per_model = []
        for key in of_learner.key.head(MOST_MODELS):
            try:
                model = SavedModel.read(gathered.stores[key].path(key))
                per_model.append(coefficients(model))
            except ResultsError as e:
                text = f"no coefficients of fit {key}: {e}"
                problems.append(ReadingProblem("unreadable", text, 1))
        if per_model:
            table = over_models(pd.concat(per_model, ignore_index=True))
            table = table.rename(columns={"mean": "coefficient"})
            first = list(dict.fromkeys(table.gene))[:TABLED]
            found.append(table[table.gene.isin(first)].assign(panel=panel, learner=learner))
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(found, ignore_index=True)[COLUMNS]


def _keeps_coefficients(record: FitRecord) -> bool:
    """Whether what the fit kept of its model is one coefficient a gene and class."""
    results = record.get("config", {}).get("results") or {}
    stated = record.get("model", {}).get("coefficients", False)
    return stated and bool(results.get("keep_model"))


def figure(gathered: GatheredFits, table: pd.DataFrame) -> Figure | None:
    """The largest coefficients of each linear model."""
    if table.empty:
        return None
    fits = largest(gathered.done)
    fits = fits[fits.learner.isin(table.learner) & (fits.signal_removal == "none")]
    caption = (
        f"The {SHOWN} genes with the largest coefficients of each linear model, per unit of the"
        " gene before scaling, against the mean of the classes; bars: mean over fits, lines: ± sd."
        f" Of correlated genes a coefficient says little by itself. {sample(fits)}."
    )
    return Figure(
        "coefficients", "Which genes do linear models go by?", caption, lambda: _draw(table)
    )


def _draw(table: pd.DataFrame) -> ggplot:
    shown, n_panels = in_panels(table)
    # a facet of its own for each model: genes are ordered within it
    shown["where"] = shown.panel + "\n" + shown.learner
    first_genes = []
    for _, rows in shown.groupby("where"):
        first = list(dict.fromkeys(rows.gene))[:SHOWN]
        first_genes.append(rows[rows.gene.isin(first)])
    shown = pd.concat(first_genes, ignore_index=True)
    order = [plain(gene) for gene in dict.fromkeys(shown.gene)]
    shown["gene"] = pd.Categorical([plain(gene) for gene in shown.gene], order[::-1])
    shown["class"] = [plain(name) for name in shown["class"]]
    if shown["class"].nunique() == 2:
        # the other class's coefficients are the same with the other sign
        shown = shown[shown["class"] == shown["class"].max()]
    spread = shown.sd.fillna(0)
    shown = shown.assign(low=shown.coefficient - spread, high=shown.coefficient + spread)
    n_facets = shown["where"].nunique()
    n_columns = min(n_facets, 3)
    several_classes = shown["class"].nunique() > 1
    return (
        ggplot(shown, aes("gene", "coefficient", fill="class", ymin="low", ymax="high"))
        + geom_col(position="dodge")
        + geom_errorbar(position="dodge", color="#444444", width=0.9 if several_classes else 0.3)
        + coord_flip()
        + facet_wrap("where", ncol=n_columns, scales="free")
        + scale_fill_brewer(type="qual", palette="Set2")
        + labs(x="", y="coefficient per unit of the gene", fill="class")
        + style(
            width=3.6 * n_columns + 2,
            height=(2.6 + 0.05 * n_panels) * n_rows(n_facets, n_columns) + 0.4,
        )
    )
