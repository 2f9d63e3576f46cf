"""The figures of README, drawn from what its commands computed.

    python benchmarks/figures.py artefact artefact.csv --out benchmarks/figures/artefact.png
    python benchmarks/figures.py resistant resistant.json --out benchmarks/figures/resistant.png
    python benchmarks/figures.py residual_test size.json power.json --out residual_test.png

artefact reads tables of `beyondlinear excess … --csv`; resistant and residual_test what the
benchmarks of these names write with --json.
"""

import argparse
import json
from pathlib import Path

import pandas as pd
from plotnine import (
    aes,
    coord_flip,
    element_text,
    facet_grid,
    facet_wrap,
    geom_hline,
    geom_linerange,
    geom_point,
    geom_text,
    geom_tile,
    ggplot,
    labs,
    position_dodge,
    scale_color_manual,
    scale_fill_gradient2,
    scale_shape_manual,
    scale_y_continuous,
    theme,
    theme_minimal,
)

REAL, CONTROL = "real labels", "linear by construction"
COLOURS = {REAL: "#b2182b", CONTROL: "#2166ac"}
MODELS = [
    "logistic_regression",
    "linear_svm",
    "three_layer",
    "five_layer",
    "random_forest",
    "rbf_svm",
]
REMOVALS = ["none", "class_means", "leace", "matching"]


def artefact(paths: list[Path]) -> ggplot:
    """Balanced accuracy of real and of linear labels after each removal; the dotted line is what no
    model can honestly exceed with the linear ones, the lower line chance."""
    table = pd.concat([pd.read_csv(p) for p in paths], ignore_index=True)
    table["data"] = table.apply(_data, axis=1)
    table["model"] = pd.Categorical(table.model, MODELS[::-1])
    table["signal_removal"] = pd.Categorical(table.signal_removal, REMOVALS)
    table = table.dropna(subset=["model", "signal_removal"])
    real = table.assign(labels=REAL, value=table.real, sd=float("nan"))
    control = table.assign(labels=CONTROL, value=table.control, sd=table.control_sd)
    both = pd.concat([real, control])
    both["low"], both["high"] = both.value - 2 * both.sd, (both.value + 2 * both.sd).clip(upper=1)
    bounds = (
        table.groupby(["data", "signal_removal"], observed=True)[["bayes", "chance"]]
        .mean()
        .reset_index()
    )
    return (
        ggplot(both, aes("model", "value", color="labels"))
        + geom_hline(bounds, aes(yintercept="bayes"), linetype="dotted")
        + geom_hline(bounds, aes(yintercept="chance"), color="#999999")
        + geom_linerange(aes(ymin="low", ymax="high"), both.dropna(subset=["sd"]))
        + geom_point(aes(shape="labels"), size=2)
        + facet_grid("data", "signal_removal")
        + coord_flip()
        + scale_color_manual(COLOURS)
        + scale_shape_manual({REAL: "o", CONTROL: "^"})
        + scale_y_continuous(breaks=[0, 0.25, 0.5, 0.75, 1.0])
        + labs(
            x="",
            y="balanced accuracy (dotted: Bayes accuracy of the linear labels)",
            color="",
            shape="",
        )
        + theme_minimal(base_size=9)
        + theme(
            figure_size=(9, 1.2 + 1.5 * bounds.data.nunique()),
            legend_position="top",
            strip_text_y=element_text(angle=0, ha="left"),
        )
    )


def _data(row: pd.Series) -> str:
    name = str(row.dataset) if row.dataset != "file" else str(row.task)
    variant = str(row.variant) if isinstance(row.variant, str) else ""
    if "n_clusters=1" in variant.split(", ")[0]:
        name += "\n1 cluster"
    elif "n_clusters=8" in variant:
        name += "\n8 clusters"
    return name + (f"\n{row.direction} direction" if row.dataset == "file" else "")


def resistant(paths: list[Path]) -> ggplot:
    """What each candidate leaves a random forest on each data set: white is chance, red what it
    should not find, or on the last two data sets, whose signal is not linear alone, what it
    should."""
    table = pd.DataFrame([r for p in paths for r in json.loads(p.read_text())])
    table = table[table.model == "random forest"]
    means = table.groupby(["data", "candidate"], sort=False).value.mean().reset_index()
    means["data"] = pd.Categorical(means.data, list(dict.fromkeys(table.data)))
    means["candidate"] = pd.Categorical(means.candidate, list(dict.fromkeys(table.candidate))[::-1])
    means["text"] = means.value.map(lambda v: "refused" if pd.isna(v) else f"{v:.2f}")
    return (
        ggplot(means, aes("data", "candidate", fill="value"))
        + geom_tile(color="white")
        + geom_text(aes(label="text"), size=7)
        + scale_fill_gradient2(
            low="#2166ac",
            mid="#ffffff",
            high="#b2182b",
            midpoint=0.5,
            limits=(0, 1),
            na_value="#eeeeee",
        )
        + labs(x="", y="", fill="random forest,\nbalanced\naccuracy")
        + theme_minimal(base_size=9)
        + theme(
            figure_size=(9, 0.8 + 0.3 * means.candidate.nunique()),
            axis_text_x=element_text(rotation=30, ha="right"),
        )
    )


def residual_test(paths: list[Path]) -> ggplot:
    """Share of data sets rejected at .05, with 95 % Clopper–Pearson intervals: size where nothing
    is planted, else power."""
    table = pd.DataFrame([r for p in paths for r in json.loads(p.read_text())])
    table = table[~table.statistic.str.endswith("_gain")]
    three = table.classes.map(lambda k: f", {k} classes" if k > 2 else "")
    size = table.world + ", " + table.n.astype(str) + " × " + table.p.astype(str) + three
    power = (
        table.planted
        + " × "
        + table.strength.map("{:g}".format)
        + ", "
        + table.n.astype(str)
        + " × "
        + table.p.astype(str)
    )
    table["setting"] = size.where(table.planted == "nothing", power)
    table["what"] = pd.Categorical(
        table.planted.eq("nothing").map({True: "size", False: "power"}), ["size", "power"]
    )
    table["setting"] = pd.Categorical(table.setting, list(dict.fromkeys(table.setting))[::-1])
    return (
        ggplot(table, aes("setting", "rate", color="statistic"))
        + geom_hline(yintercept=0.05, linetype="dotted")
        + geom_linerange(aes(ymin="low", ymax="high"), position=position_dodge(0.7))
        + geom_point(position=position_dodge(0.7), size=1.5)
        + facet_wrap("what", scales="free", ncol=2)
        + coord_flip()
        + labs(x="", y="share of data sets rejected at .05", color="")
        + theme_minimal(base_size=9)
        + theme(figure_size=(11, 6), legend_position="top")
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figure", choices=["artefact", "resistant", "residual_test"])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    draw = {"artefact": artefact, "resistant": resistant, "residual_test": residual_test}
    drawn = draw[arguments.figure](arguments.files)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    drawn.save(arguments.out, dpi=120, verbose=False)
    print(arguments.out)


if __name__ == "__main__":
    main()
