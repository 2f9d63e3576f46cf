"""What a paper must say of how the numbers were made, from the records: a paragraph to paste and
its references."""

from typing import NamedTuple

import pandas as pd

from beyondlinear.records.record import ComposedConfig
from beyondlinear.report.model_kinds import in_words, kinds
from beyondlinear.report.reading import GatheredFits
from beyondlinear.report.sentences import counted
from beyondlinear.report.statistics import ROPE

CITATIONS = {
    "Heil 2023": (
        "Heil BJ, Crawford J, Greene CS. The effect of non-linear signal in classification problems"
        " using gene expression. PLOS Comput Biol 2023. doi:10.1371/journal.pcbi.1010984"
    ),
    "Nadeau 2003": (
        "Nadeau C, Bengio Y. Inference for the generalization error. Machine Learning"
        " 2003;52:239–281."
    ),
    "Corani 2015": (
        "Corani G, Benavoli A. A Bayesian approach for comparing cross-validated algorithms on"
        " multiple data sets. Machine Learning 2015;100:285–304."
    ),
    "Field 2007": (
        "Field CA, Welsh AH. Bootstrapping clustered data. J R Stat Soc B 2007;69:369–390."
    ),
    "Holm 1979": (
        "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat"
        " 1979;6:65–70."
    ),
    "Guo 2017": (
        "Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. ICML"
        " 2017."
    ),
    "Shah 2018": (
        "Shah RD, Bühlmann P. Goodness-of-fit tests for high dimensional linear models. J R Stat"
        " Soc B 2018;80:113–135."
    ),
    "Janková 2020": (
        "Janková J, Shah RD, Bühlmann P, Samworth RJ. Goodness-of-fit testing in high dimensional"
        " generalized linear models. J R Stat Soc B 2020;82:773–795."
    ),
    "Belrose 2023": (
        "Belrose N, et al. LEACE: perfect linear concept erasure in closed form. NeurIPS 2023."
    ),
    "Ritchie 2015": (
        "Ritchie ME, et al. limma powers differential expression analyses. Nucleic Acids Res"
        " 2015;43:e47."
    ),
    "Kapoor 2024": (
        "Kapoor S, et al. REFORMS: consensus-based recommendations for machine-learning-based"
        " science. Sci Adv 2024."
    ),
    "Walsh 2021": (
        "Walsh I, et al. DOME: recommendations for supervised machine learning validation in"
        " biology. Nat Methods 2021;18:1122–1127."
    ),
}


class RemovalWords(NamedTuple):
    """How a mode of signal removal is described, and the reference for it beside the paper's."""

    description: str
    citation: str | None = None


_REMOVALS = {
    "class_means": RemovalWords(
        "split-wise removal of class means, as Heil et al. (limma; an oracle that uses each part's"
        " labels)",
        "Ritchie 2015",
    ),
    "class_means_before_split": RemovalWords(
        "removal of class means over all samples before the split (leaks across the split)"
    ),
    "leace": RemovalWords(
        "least-squares concept erasure learnt on the train part (LEACE)", "Belrose 2023"
    ),
    "projection": RemovalWords("projection off the class-mean differences of the train part"),
    "train_oracle": RemovalWords("class means of the train part, applied by true label"),
    "quadratic": RemovalWords("erasure of first and second moments learnt on the train part"),
    "matching": RemovalWords("thinning of samples until a linear model is at chance"),
    "study": RemovalWords("removal of study means"),
}
_SOFTWARE = ("beyondlinear", "torch", "scikit-learn", "numpy")


def paragraph(gathered: GatheredFits) -> tuple[str, list[str]]:
    """The methods, ready to paste, and the references that it cites."""
    done = gathered.done
    if done.empty:
        return "No fit is done, so there is no method to describe.", []
    first = gathered.records[done.key.iloc[0]]
    config = first.get("config") or {}
    cited = ["Heil 2023"]
    sentences = [_split_sentence(done, config)]
    fractions = sorted(done.fraction.unique())
    if len(fractions) > 1:
        sentences.append(
            f"Learning curves used {', '.join(f'{fraction:g}' for fraction in fractions)} of the"
            " training samples, nested."
        )
    sentences.append(_preparation_sentence(config))
    models = [in_words(model, kind) for model, kind in kinds(done, "model").items()]
    sentences.append(f"Models: {'; '.join(models)}.")
    tuned = tuning_methods(done)
    if tuned:
        sentences.append(f"Hyperparameters were chosen in inner folds ({', '.join(tuned)}).")
    else:
        sentences.append("Hyperparameters were the defaults.")

    removals = sorted(set(done.signal_removal) - {"none"})
    if removals:
        words = [_REMOVALS.get(removal, RemovalWords(removal)) for removal in removals]
        cited += [removal.citation for removal in words if removal.citation is not None]
        sentences.append(
            f"Linear signal was removed by {'; '.join(removal.description for removal in words)}"
            f" [{', '.join(cited)}]."
        )
    controls = done[done.control == "linear_labels"]
    if len(controls):
        sentences.append(
            f"As control, labels were drawn {controls.draw.nunique()} times from one logistic model"
            " of the expression, so that they are linear by construction, and went through the same"
            " pipeline."
        )
    if gathered.tests:
        cited += ["Shah 2018", "Janková 2020"]
        sentences.append(
            "What the certified linear model leaves was searched by a residual-prediction test"
            " against a parametric bootstrap [Shah 2018, Janková 2020]."
        )
    cited += ["Nadeau 2003", "Corani 2015", "Holm 1979", "Field 2007", "Guo 2017"]
    sentences.append(
        "Models were compared by balanced accuracy with the corrected resampled t-test [Nadeau"
        " 2003], adjusted by Holm [Holm 1979], and with a Bayesian correlated t-test [Corani 2015]"
        f" with a region of practical equivalence of ±{ROPE:g}. Intervals of one model are from a"
        " cluster bootstrap over groups of the held-out predictions [Field 2007]; calibration is"
        " the expected calibration error [Guo 2017]."
    )
    versions = first.get("provenance", {}).get("versions") or {}
    software = [f"{package} {versions[package]}" for package in _SOFTWARE if package in versions]
    sentences.append(f"Software: {', '.join(software)}.")
    return " ".join(sentences), list(dict.fromkeys(cited))


def _split_sentence(done: pd.DataFrame, config: ComposedConfig) -> str:
    split = config.get("split") or {}
    group = split.get("group")
    if not group:
        unit = f"{split.get('name')} units"
    elif isinstance(group, str):
        unit = f"groups ({group})"
    else:
        unit = f"groups ({', '.join(map(str, group))})"
    validation_share = float(split.get("validation_share") or 0)
    return (
        "We asked whether a non-linear model predicts better than a linear one, after Heil et al."
        f" [Heil 2023]. Samples were split by {unit} into"
        f" {counted(done.fold.nunique(), 'outer fold')}, with"
        f" {counted(done.seed.nunique(), 'random seed')}; {validation_share:.0%} of the training"
        " samples (by group) stopped training and chose penalties."
    )


def _preparation_sentence(config: ComposedConfig) -> str:
    scale = config.get("scale")
    scaling = "not scaled" if scale in (None, "none") else f"scaled ({scale})"
    n_kept = (config.get("select") or {}).get("top_variance")
    selection = f", and the {n_kept:,} of largest variance kept," if n_kept else ""
    fit_on = (config.get("protocol") or {}).get("fit_on")
    where = "all samples" if fit_on == "all" else "the train part alone"
    return f"Genes were {scaling}{selection} on {where}."


def tuning_methods(done: pd.DataFrame) -> list[str]:
    return sorted(set(done.tuning) - {"none"})
