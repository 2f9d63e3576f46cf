"""What a paper must say of how the numbers were made, from the records: a paragraph to paste, its references, a checklist."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from beyondlinear.report.reading import Reading
from beyondlinear.report.statistics import ROPE
from beyondlinear.report.verdict import counted

CITATIONS = {
    "Heil 2023": "Heil BJ, Crawford J, Greene CS. The effect of non-linear signal in classification problems using gene "
    "expression. PLOS Comput Biol 2023. doi:10.1371/journal.pcbi.1010984",
    "Nadeau 2003": "Nadeau C, Bengio Y. Inference for the generalization error. Machine Learning 2003;52:239–281.",
    "Corani 2015": "Corani G, Benavoli A. A Bayesian approach for comparing cross-validated algorithms on multiple "
    "data sets. "
    "Machine Learning 2015;100:285–304.",
    "Field 2007": "Field CA, Welsh AH. Bootstrapping clustered data. J R Stat Soc B 2007;69:369–390.",
    "Holm 1979": "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat 1979;6:65–70.",
    "Guo 2017": "Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. ICML 2017.",
    "Shah 2018": "Shah RD, Bühlmann P. Goodness-of-fit tests for high dimensional linear models. J R Stat Soc B "
    "2018;80:113–135.",
    "Janková 2020": "Janková J, Shah RD, Bühlmann P, Samworth RJ. Goodness-of-fit testing in high dimensional "
    "generalized linear "
    "models. J R Stat Soc B 2020;82:773–795.",
    "Belrose 2023": "Belrose N, et al. LEACE: perfect linear concept erasure in closed form. NeurIPS 2023.",
    "Ritchie 2015": "Ritchie ME, et al. limma powers differential expression analyses. Nucleic Acids Res 2015;43:e47.",
    "Kapoor 2024": "Kapoor S, et al. REFORMS: consensus-based recommendations for machine-learning-based science. "
    "Sci Adv 2024.",
    "Walsh 2021": "Walsh I, et al. DOME: recommendations for supervised machine learning validation in biology. Nat Methods "
    "2021;18:1122–1127.",
}

_MODELS = {
    "ridge_logistic": "ridge logistic regression solved to a certified optimum",
    "ridge_svm": "a ridge support vector machine (squared hinge) solved to a certified optimum",
    "logistic_regression": "logistic regression trained like the nets",
    "linear_svm": "a linear support vector machine trained like the nets",
    "three_layer": "a three-layer network",
    "five_layer": "a five-layer network",
    "random_forest": "a random forest",
    "rbf_svm": "a support vector machine with a Gaussian kernel",
}
_REMOVALS = {
    "split": "split-wise removal of class means, as Heil et al. (limma; an oracle that uses each part's labels)",
    "full": "removal of class means over all samples before the split (leaks across the split)",
    "train": "least-squares concept erasure learnt on the fit part (LEACE)",
    "train_projection": "projection off the class-mean differences of the fit part",
    "train_oracle": "class means of the fit part, applied by true label",
    "quadratic": "erasure of first and second moments learnt on the fit part",
    "resistant": "thinning of samples until a linear model is at chance",
    "study": "removal of study means",
}


def paragraph(reading: Reading) -> tuple[str, list[str]]:
    """The methods, ready to paste, and the references that it cites."""
    done = reading.done
    if done.empty:
        return "No fit is done, so there is no method to describe.", []
    records = [reading.records[k] for k in done.key]
    config: dict[str, Any] = records[0].get("config") or {}
    cited = ["Heil 2023"]
    split, protocol = config.get("split") or {}, config.get("protocol") or {}
    group = split.get("group")
    unit = (
        f"groups ({group if isinstance(group, str) else ', '.join(map(str, group))})"
        if group
        else f"{split.get('name')} units"
    )
    fractions = sorted(done.fraction.unique())
    text = [
        f"We asked whether a non-linear model predicts better than a linear one, after Heil et al. [Heil 2023]. "
        f"Samples were split "
        f"by {unit} into {counted(done.fold.nunique(), 'outer fold')}, with {counted(done.seed.nunique(), 'random seed')}; "
        f"{float(split.get('tune_share') or 0):.0%} of the training samples (by group) stopped training and chose penalties."
    ]
    if len(fractions) > 1:
        text.append(f"Learning curves used {', '.join(f'{f:g}' for f in fractions)} of the training samples, nested.")
    scale = config.get("scale")
    top = (config.get("select") or {}).get("top_variance")
    text.append(
        f"Genes were {'not scaled' if scale in (None, 'none') else f'scaled ({scale})'}"
        f"{f', and the {top:,} of largest variance kept,' if top else ''} on "
        f"{'all samples' if (protocol.get('fit_on') or '') == 'all' else 'the fit part alone'}."
    )
    models = [_MODELS.get(m, m) for m in sorted(done.model.unique())]
    text.append(f"Models: {'; '.join(models)}.")
    tuned = sorted(set(done.tuning) - {"none"})
    text.append(
        f"Hyperparameters were chosen in inner folds ({', '.join(tuned)})."
        if tuned
        else "Hyperparameters were the defaults."
    )
    removals = sorted(set(done.signal_removal) - {"none"})
    if removals:
        cited += [c for m, c in (("split", "Ritchie 2015"), ("train", "Belrose 2023")) if m in removals]
        text.append(
            f"Linear signal was removed by {'; '.join(_REMOVALS.get(r, r) for r in removals)} [{', '.join(cited)}]."
        )
    if (done.control == "linear_labels").any():
        draws = int(done[done.control == "linear_labels"].draw.nunique())
        text.append(
            f"As control, labels were drawn {draws} times from one logistic model of the expression, so that they "
            f"are linear by "
            "construction, and went through the same pipeline."
        )
    if reading.tests:
        cited += ["Shah 2018", "Janková 2020"]
        text.append(
            "What the certified linear model leaves was searched by a residual-prediction test against a parametric "
            "bootstrap "
            "[Shah 2018, Janková 2020]."
        )
    cited += ["Nadeau 2003", "Corani 2015", "Holm 1979", "Field 2007", "Guo 2017"]
    text.append(
        "Models were compared by balanced accuracy with the corrected resampled t-test [Nadeau 2003], adjusted by Holm "
        f"[Holm 1979], and with a Bayesian correlated t-test [Corani 2015] with a region of practical equivalence "
        f"of ±{ROPE:g}. "
        "Intervals of one model are from a cluster bootstrap over groups of the held-out predictions [Field 2007]; "
        "calibration is the "
        "expected calibration error [Guo 2017]."
    )
    versions = (records[0].get("circumstances") or {}).get("versions") or {}
    shown = ("beyondlinear", "torch", "scikit-learn", "numpy")
    text.append("Software: " + ", ".join(f"{p} {versions[p]}" for p in shown if p in versions) + ".")
    return " ".join(text), list(dict.fromkeys(cited))


@dataclass(frozen=True)
class Item:
    """One line of the checklist; stands: whether the records answer it."""

    topic: str
    question: str
    answer: str
    stands: bool = True


def checklist(reading: Reading) -> list[Item]:
    """After REFORMS (Kapoor 2024) and DOME (Walsh 2021), filled from the records; what they do not hold is said to "
    "be open."""
    done = reading.done
    if done.empty:
        return [Item("all", "Are there results?", "no fit is done", False)]
    first = reading.records[done.key.iloc[0]]
    config: dict[str, Any] = first.get("config") or {}
    data, where = first.get("data") or {}, first.get("circumstances") or {}
    audits = [f for k in done.key for f in reading.records[k].get("audit") or []]
    worst = {s: sum(f.get("severity") == s for f in audits) for s in ("leak", "caution", "note")}
    audited = sum("audit" in reading.records[k] for k in done.key)
    commits = {str((reading.records[k].get("circumstances") or {}).get("commit"))[:12] for k in done.key}
    changed = any((reading.records[k].get("circumstances") or {}).get("changed_since_commit") for k in done.key)
    tuned = set(done.tuning) - {"none"}
    baseline = set(done.model) & {"ridge_logistic", "ridge_svm"} or done.optimum_gap.notna().any()
    lost = int((reading.fits.status != "done").sum())
    split = config.get("split") or {}
    return [
        Item("Data", "Where do the data come from?", _source(config), True),
        Item("Data", "How many samples, groups, genes, classes?", _sizes(data)),
        Item("Data", "Which samples were left out, and why?", _dropped(data)),
        Item("Data", "Is the sampling representative of the question?", "not in the records: say it", False),
        Item("Split", "What must not be on both sides of a split?", f"{split.get('group') or split.get('name')}"),
        Item(
            "Split",
            "Were duplicates searched across parts?",
            f"yes, by the audit of {audited:,} of {len(done):,} fits",
            audited > 0,
        ),
        Item(
            "Leakage",
            "Did anything see the validation rows?",
            f"{counted(worst['leak'], 'leak')}, {counted(worst['caution'], 'caution')}, "
            f"{counted(worst['note'], 'note')} in {audited:,} fits",
            worst["leak"] == 0 and audited == len(done),
        ),
        Item("Model", "Which models, with how many parameters?", _parameters(reading, done)),
        Item(
            "Model",
            "How were hyperparameters chosen?",
            f"nested: {', '.join(sorted(tuned))}" if tuned else "defaults, not tuned",
        ),
        Item(
            "Model",
            "Is there a baseline that is really optimised?",
            "a certified linear optimum" if baseline else "no",
            bool(baseline),
        ),
        Item("Model", "Is there a naive baseline?", "1/number of classes, in each figure and table"),
        Item(
            "Evaluation",
            "Which metrics?",
            "balanced accuracy, log-loss, AUROC, macro F1, recall by class, calibration error",
        ),
        Item(
            "Evaluation", "Is uncertainty given?", "intervals by group, corrected tests, Holm", done.fold.nunique() > 1
        ),
        Item(
            "Evaluation", "Is any result missing?", f"{lost:,} of {len(reading.fits):,} fits have no result", lost == 0
        ),
        Item("Evaluation", "Is there an external validation set?", "not in the records: say it", False),
        Item(
            "Reproduction",
            "Which code?",
            f"commit {', '.join(sorted(commits))}{', changed since' if changed else ''}",
            not changed and commits != {"None"},
        ),
        Item("Reproduction", "Which data, exactly?", f"fingerprint {data.get('fingerprint')}"),
        Item(
            "Reproduction",
            "On what machine?",
            f"{where.get('processor')}, {where.get('device')}, {where.get('threads')} threads",
        ),
    ]


def _source(config: dict[str, Any]) -> str:
    dataset = config.get("dataset") or {}
    place = next((f", {dataset[k]}" for k in ("expression", "release", "mirror") if dataset.get(k)), "")
    return f"dataset={dataset.get('name')}{place}"


def _sizes(data: dict[str, Any]) -> str:
    return (
        f"{data.get('n_samples', 0):,} samples, {data.get('n_groups', 0):,} groups, {data.get('n_genes', 0):,} genes, "
        f"{len(data.get('classes') or []):,} classes (first data set)"
    )


def _dropped(data: dict[str, Any]) -> str:
    dropped = data.get("dropped") or {}
    return "; ".join(f"{why}: {n}" for why, n in dropped.items()) or "none"


def _parameters(reading: Reading, done: pd.DataFrame) -> str:
    found = {}
    for model, fits in done.groupby("model"):
        n = [(reading.records[k].get("hyperparameters") or {}).get("n_parameters") for k in fits.key]
        known = [v for v in n if v]
        found[model] = f"{model} ({max(known):,} parameters)" if known else str(model)
    return ", ".join(found.values())
