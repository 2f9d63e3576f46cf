"""Which genes linear models go by: their coefficients, where the fits kept their models."""

from typing import Any

import pandas as pd
from plotnine import aes, coord_flip, facet_wrap, geom_col, geom_errorbar, ggplot, labs, scale_fill_brewer

from beyondlinear.errors import ResultsError
from beyondlinear.predict import coefficients
from beyondlinear.report.figures import Figure, in_panels, largest, plain, sample, style
from beyondlinear.report.reading import Problem, Reading
from beyondlinear.stored import StoredModel

COLUMNS = ["panel", "learner", "class", "gene", "coefficient", "sd", "models"]
SHOWN, TABLED = 10, 50  # genes of a panel and learner in the figure, and in the table
MOST_MODELS = 50  # read, of a panel and learner


def genes(reading: Reading, problems: list[Problem]) -> pd.DataFrame:
    """One row a gene and class, the largest coefficients first: the change of the class's score, against the mean of the
    classes, for one unit more of the gene as it was given to the model before scaling; mean and sd over fits at the largest
    fraction with the signal present. Models that cannot be read are named in `problems`.
    """
    found = []
    at = largest(reading.done)
    at = at[(at.signal_removal == "none") & at.key.map(lambda k: _keeps_linear(reading.records[k])).astype(bool)]
    for (panel, learner), fits in at.groupby(["panel", "learner"], sort=True):
        each = []
        for key in fits.key.head(MOST_MODELS):
            try:
                each.append(coefficients(StoredModel.read(reading.stores[key].path(key))))
            except ResultsError as e:
                problems.append(Problem("unreadable", f"no coefficients of fit {key}: {e}", 1))
        if each:
            all_of_them = pd.concat(each, ignore_index=True).groupby(["gene", "class"], sort=False).value
            table = all_of_them.agg(["mean", "std", "size"]).reset_index()
            table.columns = pd.Index(["gene", "class", "coefficient", "sd", "models"])
            size = table.groupby("gene").coefficient.transform(lambda c: c.abs().max())
            table = table.assign(size=size).sort_values(["size", "gene", "class"], ascending=[False, True, True])
            first = list(dict.fromkeys(table.gene))[:TABLED]
            found.append(table[table.gene.isin(first)].assign(panel=panel, learner=learner))
    return pd.concat(found, ignore_index=True)[COLUMNS] if found else pd.DataFrame(columns=COLUMNS)


def _keeps_linear(record: dict[str, Any]) -> bool:
    config = record.get("config", {})
    model = config.get("model", {})
    network = str((model.get("network") or {}).get("_target_", ""))
    linear = network.endswith("networks.Linear") or ".ridge." in str(model.get("_target_", ""))
    return linear and bool(config.get("results", {}).get("keep_model"))


def figure(reading: Reading, table: pd.DataFrame) -> Figure | None:
    """The largest coefficients of each linear model."""
    if table.empty:
        return None
    at = largest(reading.done)
    at = at[at.learner.isin(table.learner) & (at.signal_removal == "none")]
    caption = (
        f"The {SHOWN} genes with the largest coefficients of each linear model, per unit of the gene before scaling, "
        f"against the mean of the classes; bars: mean over fits, lines: ± sd. Of correlated genes "
        f"a coefficient says little by itself. {sample(at)}."
    )

    def draw() -> ggplot:
        shown, n = in_panels(table)
        # a column of its own for each model: genes are ordered within it
        shown["where"] = shown.panel + "\n" + shown.learner
        kept = [rows[rows.gene.isin(list(dict.fromkeys(rows.gene))[:SHOWN])] for _, rows in shown.groupby("where")]
        shown = pd.concat(kept, ignore_index=True)
        names = [plain(g) for g in dict.fromkeys(shown.gene)]
        shown["gene"] = pd.Categorical([plain(g) for g in shown.gene], names[::-1])
        shown["class"] = [plain(c) for c in shown["class"]]
        if shown["class"].nunique() == 2:  # the other class's coefficients are the same with the other sign
            shown = shown[shown["class"] == sorted(shown["class"].unique())[-1]]
        shown["low"], shown["high"] = shown.coefficient - shown.sd.fillna(0), shown.coefficient + shown.sd.fillna(0)
        facets = shown["where"].nunique()
        several = shown["class"].nunique() > 1
        plot = ggplot(shown, aes("gene", "coefficient", fill="class", ymin="low", ymax="high"))
        return (
            plot
            + geom_col(position="dodge")
            + geom_errorbar(position="dodge", color="#444444", width=0.9 if several else 0.3)
            + coord_flip()
            + facet_wrap("where", ncol=min(facets, 3), scales="free")
            + scale_fill_brewer(type="qual", palette="Set2")
            + labs(x="", y="coefficient per unit of the gene", fill="class")
            + style(3.6 * min(facets, 3) + 2, (2.6 + 0.05 * n) * -(-facets // 3) + 0.4)
        )

    return Figure("coefficients", "Which genes do linear models go by?", caption, draw)
