"""A checklist for reviewers, after REFORMS (Kapoor 2024) and DOME (Walsh 2021), filled from the
records."""

from dataclasses import dataclass

from beyondlinear.records.record import ComposedConfig, DataRecord, ProvenanceRecord
from beyondlinear.report.methods import tuning_methods
from beyondlinear.report.reading import GatheredFits
from beyondlinear.report.sentences import counted

NOT_IN_THE_RECORDS = "not in the records: say it"


@dataclass(frozen=True)
class ChecklistItem:
    """One line of the checklist; stands: whether the records answer it."""

    topic: str
    question: str
    answer: str
    stands: bool = True


def checklist(gathered: GatheredFits) -> list[ChecklistItem]:
    """After REFORMS (Kapoor 2024) and DOME (Walsh 2021), filled from the records; what they do not
    hold is said to be open."""
    done = gathered.done
    if done.empty:
        return [ChecklistItem("all", "Are there results?", "no fit is done", False)]
    first = gathered.records[done.key.iloc[0]]
    config = first.get("config") or {}
    data: DataRecord = first.get("data") or {}
    return [
        *_about_data(config, data),
        *_about_split_and_leaks(gathered, config),
        *_about_models(gathered),
        *_about_evaluation(gathered),
        *_about_reproduction(gathered, data),
    ]


def _about_data(config: ComposedConfig, data: DataRecord) -> list[ChecklistItem]:
    sizes = (
        f"{data.get('n_samples', 0):,} samples, {data.get('n_groups', 0):,} groups,"
        f" {data.get('n_genes', 0):,} genes, {len(data.get('classes') or []):,} classes (first data"
        " set)"
    )
    dropped = data.get("dropped") or {}
    left_out = "; ".join(f"{why}: {n}" for why, n in dropped.items()) or "none"
    return [
        ChecklistItem("Data", "Where do the data come from?", _source(config)),
        ChecklistItem("Data", "How many samples, groups, genes, classes?", sizes),
        ChecklistItem("Data", "Which samples were left out, and why?", left_out),
        ChecklistItem(
            "Data",
            "Is the sampling representative of the question?",
            NOT_IN_THE_RECORDS,
            stands=False,
        ),
    ]


def _source(config: ComposedConfig) -> str:
    dataset = config.get("dataset") or {}
    source = f"dataset={dataset.get('name')}"
    for key in ("expression", "release", "mirror"):
        if dataset.get(key):
            return f"{source}, {dataset[key]}"
    return source


def _about_split_and_leaks(gathered: GatheredFits, config: ComposedConfig) -> list[ChecklistItem]:
    done = gathered.done
    records = [gathered.records[key] for key in done.key]
    n_audited = sum("audit" in record for record in records)
    findings = [finding for record in records for finding in record.get("audit") or []]
    severities = [finding.get("severity") for finding in findings]
    n_leaks = severities.count("leak")
    found = ", ".join(
        [
            counted(n_leaks, "leak"),
            counted(severities.count("caution"), "caution"),
            counted(severities.count("note"), "note"),
        ]
    )
    split = config.get("split") or {}
    return [
        ChecklistItem(
            "Split",
            "What must not be on both sides of a split?",
            f"{split.get('group') or split.get('name')}",
        ),
        ChecklistItem(
            "Split",
            "Were duplicates searched across parts?",
            f"yes, by the audit of {n_audited:,} of {len(done):,} fits",
            stands=n_audited > 0,
        ),
        ChecklistItem(
            "Leakage",
            "Did anything see the test rows?",
            f"{found} in {n_audited:,} fits",
            stands=n_leaks == 0 and n_audited == len(done),
        ),
    ]


def _about_models(gathered: GatheredFits) -> list[ChecklistItem]:
    done = gathered.done
    tuned = tuning_methods(done)
    is_solved = done.linear & done.certified
    has_baseline = bool((is_solved | done.optimum_gap.notna()).any())
    return [
        ChecklistItem("Model", "Which models, with how many parameters?", _parameters(gathered)),
        ChecklistItem(
            "Model",
            "How were hyperparameters chosen?",
            f"nested: {', '.join(tuned)}" if tuned else "defaults, not tuned",
        ),
        ChecklistItem(
            "Model",
            "Is there a baseline that is really optimised?",
            "a certified linear optimum" if has_baseline else "no",
            stands=has_baseline,
        ),
        ChecklistItem(
            "Model",
            "Is there a naive baseline?",
            "1/number of classes, in each figure and table",
        ),
    ]


def _parameters(gathered: GatheredFits) -> str:
    """Models, each with the largest number of parameters of its fits where it is known."""
    described = []
    for model, fits in gathered.done.groupby("model"):
        hyperparameters = [gathered.records[key].get("hyperparameters") or {} for key in fits.key]
        known = [h["n_parameters"] for h in hyperparameters if h.get("n_parameters")]
        described.append(f"{model} ({max(known):,} parameters)" if known else str(model))
    return ", ".join(described)


def _about_evaluation(gathered: GatheredFits) -> list[ChecklistItem]:
    n_lost = int((gathered.fits.status != "done").sum())
    return [
        ChecklistItem(
            "Evaluation",
            "Which metrics?",
            "balanced accuracy, log-loss, AUROC, macro F1, recall by class, calibration error",
        ),
        ChecklistItem(
            "Evaluation",
            "Is uncertainty given?",
            "intervals by group, corrected tests, Holm",
            stands=gathered.done.fold.nunique() > 1,
        ),
        ChecklistItem(
            "Evaluation",
            "Is any result missing?",
            f"{n_lost:,} of {len(gathered.fits):,} fits have no result",
            stands=n_lost == 0,
        ),
        ChecklistItem(
            "Evaluation", "Is there an external test set?", NOT_IN_THE_RECORDS, stands=False
        ),
    ]


def _about_reproduction(gathered: GatheredFits, data: DataRecord) -> list[ChecklistItem]:
    provenances = [gathered.records[key].get("provenance") for key in gathered.done.key]
    known = [provenance for provenance in provenances if provenance is not None]
    commits = {str(provenance.get("commit"))[:12] for provenance in known}
    if len(known) < len(provenances):
        commits.add("None")
    changed = any(provenance.get("changed_since_commit") for provenance in known)
    code = f"commit {', '.join(sorted(commits))}"
    return [
        ChecklistItem(
            "Reproduction",
            "Which code?",
            f"{code}, changed since" if changed else code,
            stands=not changed and commits != {"None"},
        ),
        ChecklistItem(
            "Reproduction", "Which data, exactly?", f"fingerprint {data.get('fingerprint')}"
        ),
        ChecklistItem("Reproduction", "On what machine?", _machine(provenances[0])),
    ]


def _machine(provenance: ProvenanceRecord | None) -> str:
    if provenance is None:
        return "not in the record"
    return (
        f"{provenance.get('processor')}, {provenance.get('device')},"
        f" {provenance.get('threads')} threads"
    )
