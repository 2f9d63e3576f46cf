"""The record of a fit: every field, its unit, and when it is there.

A record is built in `experiment/fit.py` and nowhere else, written as JSON, and read by everything
that reports. Records of earlier formats are brought to this one when they are read (`upgrade.py`).
"""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from beyondlinear.runtime.provenance import Provenance

FORMAT = 2  # of the fields below; 1 had no such field and other names (see upgrade.py)

Status: TypeAlias = Literal["done", "skipped", "failed", "missing"]

# What a config holds below its groups depends on the choices made, so no type says more.
ComposedConfig: TypeAlias = Mapping[str, Any]


class Counts(TypedDict):
    """Samples and groups of a fit. `n_train` is the number of rows that the weights were fitted on;
    `n_outer_train` counts train and validation part together."""

    n_outer_train: int  # samples of train and validation part
    n_classes: int  # of the task
    n_train: NotRequired[int]  # samples of the train part
    n_validation: NotRequired[int]  # samples of the validation part; 0: there is none
    n_test: NotRequired[int]  # samples of the test part
    n_train_groups: NotRequired[int]  # groups of train and validation part
    per_class: NotRequired[dict[str, dict[str, int]]]  # part → class → samples


class TrialRecord(TypedDict):
    """One set of hyperparameters that nested tuning tried."""

    number: int  # from 0, in the order of trying
    parameters: dict[str, float]  # hyperparameter → value
    losses: list[float | None]  # weighted loss of each inner fold, in nats (hinge: margin units)
    state: str  # complete | pruned | failed
    reason: str  # of what is not complete
    value: float | None  # mean of the losses, where it is complete
    seconds: NotRequired[float]  # of the trial, where trials were made one by one


class TuningRecord(TypedDict, total=False):
    """How hyperparameters were chosen."""

    method: str  # none | random | tpe | grid
    note: str  # why nothing was tuned
    signal_removal: str  # the mode that inner folds went through
    fraction: float  # of the training samples that the inner folds are made of
    study: str  # key of the saved study
    defaults: dict[str, float]  # hyperparameters before tuning
    chosen: dict[str, float]  # hyperparameters after it
    rule: str  # how the choice was made, in words
    search: dict[str, tuple[float, float]]  # log-uniform ranges
    inner_loss: float | None  # of the chosen trial
    trials: list[TrialRecord]  # all of them, in the order of trying
    at_edge_of_grid: bool  # whether the chosen penalty is the grid's first or last
    inner_folds: int  # number of folds that were possible
    left_out: list[str]  # inner folds that were not possible, with the reason
    seconds: float  # of the whole tuning


class EpochLosses(TypedDict):
    """Mean weighted losses of one epoch, in nats (hinge: margin units)."""

    epoch: int  # from 0
    train_loss: float  # each sample's before its update
    validation_loss: NotRequired[float]  # after the epoch; absent without a validation part


class PenaltyStep(TypedDict):
    """One penalty of a regularisation path."""

    penalty: float  # λ
    relative_penalty: float  # λ over the mean squared distance of a row from the mean row
    loss: float  # weighted loss of the part that the penalty is chosen by, in nats (or hinge units)
    objective: float  # minimised function at its optimum
    relative_gradient: float  # norm of the gradient over that at zero coefficients


class TrainingRecord(TypedDict, total=False):
    """How a model came to its weights: networks give the first block, solvers the second."""

    epochs: int | None  # trained; None: a model without epochs
    best_epoch: int | None  # from 1; None: without a validation part
    # patience | max_epochs | loss below stop_below | loss not finite | fixed epochs
    stopped_by: str
    engine: str  # lightning | compiled
    history: list[EpochLosses]  # one entry an epoch
    beats_constant: bool | None  # whether the validation loss fell below that of a constant

    newton_steps: int  # of the solver
    relative_gradient: float  # norm of the gradient over that at zero coefficients
    certified_on: str  # genes | inner products
    objective: float  # minimised function at its optimum
    path: list[PenaltyStep]  # penalties that were tried on the validation part, largest first


class OptimumRecord(TypedDict, total=False):
    """The certified optimum of the problem that a linear network was trained on."""

    reason: str  # why there is none
    model: str  # ridge_logistic | ridge_svm
    penalty: float  # λ
    relative_penalty: float  # λ over the mean squared distance of a row from the mean row
    C: float | None  # scikit-learn's parameter for the same penalty; None: no penalty
    penalty_chosen_by: str  # in words
    relative_gradient: float  # norm of the gradient over that at zero coefficients
    certified_on: str  # genes | inner products
    objective: float  # minimised function at its optimum
    objective_gap: float  # by how much the network's objective lies above it, nats a sample
    metrics: dict[str, float | None]  # of the test part; None: not defined


class ModelRecord(TypedDict):
    """What the model states about itself (models/interface.py, `ModelProperties`)."""

    linear: bool  # scores are linear functions of the genes
    certified: bool  # solved to a certified optimum
    probabilities: bool  # scores give probabilities without calibration
    coefficients: bool  # one coefficient a gene and class is what it keeps


class ClassInGroupsRecord(TypedDict):
    """How a class is spread over groups."""

    n_samples: int  # of the class
    n_groups: int  # with a sample of the class
    effective_groups: float  # 1/Σ p², p the share of the class's samples in a group


class ConfoundingRecord(TypedDict):
    """How far the group says the label (tasks/confounding.py)."""

    cramers_v: float  # 0: the group says nothing about the label, 1: it gives the label away
    cramers_v_corrected: float  # without what few samples a group give by chance
    n_groups: int  # of the split
    classes_per_group: float  # mean number
    one_class_groups: float  # share of groups that hold one class only, 0–1
    classes: dict[str, ClassInGroupsRecord]  # by class


class ControlRecord(TypedDict, total=False):
    """What a control did to the samples (tasks/controls.py)."""

    bayes_accuracy: float  # best possible balanced accuracy
    agreement: float  # share of drawn labels that equal the real ones, 0–1
    no_contrast: bool  # whether they nearly all do
    relative_penalty: float  # of the null model that labels were drawn from
    relative_gradient: float  # of the null model's optimum
    slope: float  # by which calibration multiplied the null model's logits
    n_units: int  # units that one label belongs to: groups or samples


class DataRecord(TypedDict, total=False):
    """The samples of the task, before any split."""

    fingerprint: str  # hash of ids, labels, groups and values
    n_samples: int  # of the task
    n_genes: int  # before selection
    n_groups: int  # of the split
    classes: list[str]  # in the order of their codes
    dropped: dict[str, int]  # samples that the task left out, by reason
    confounding: ConfoundingRecord | None  # None: every sample is a group of its own
    bayes_accuracy: float  # of a simulation or a control, where it is known
    control: ControlRecord  # where there is one


class RowsRecord(TypedDict):
    """Some rows of the task."""

    n: int  # number of rows
    ids: str  # SHA-256 of their sorted sample ids


class RowUsageRecord(TypedDict):
    """Which rows each part held and each fitted step saw (evaluation/audit/row_usage.py)."""

    parts: dict[str, RowsRecord]  # part → its rows
    steps: dict[str, RowsRecord]  # fitted step → the rows it learnt from


class FindingRecord(TypedDict):
    """One thing that the audit found."""

    severity: str  # leak | caution | note
    check: str  # what was looked for
    evidence: str  # one line with counts and sample ids


class RemovalRecord(TypedDict):
    """What signal removal says about itself."""

    labels_of: str  # whose labels it used: nobody | the train part | every part | all samples


class ProvenanceRecord(Provenance):
    """Where and when a fit was made. What stands here determines no result."""

    seconds: float  # of the whole fit
    finished: str  # ISO 8601, UTC
    device: str  # cpu | gpu
    threads: int  # CPU threads of the fit


class FitRecord(TypedDict):
    """One fit. Fields below `status` are there where the fit came so far."""

    format: int  # FORMAT
    key: str  # records/keys.py
    names: dict[str, str]  # group of the config → name of its choice
    seed: int  # of the run
    fold: int  # from 0
    held_out: str  # what the fold's test part holds, where it has a name
    fraction: float  # of the training samples, 0–1
    pretrained: bool | None  # None: the split does not pretrain
    data: DataRecord  # the samples of the task
    config: ComposedConfig  # as composed and resolved
    status: Status  # what became of the fit
    reason: NotRequired[str]  # of a skip or a failure
    traceback: NotRequired[str]  # of a failure
    model: NotRequired[ModelRecord]  # what it states about itself
    counts: NotRequired[Counts]  # samples and groups
    tuning: NotRequired[TuningRecord]  # how hyperparameters were chosen
    warnings: NotRequired[list[str]]  # in words, for the user
    leak_probes: NotRequired[dict[str, float]]  # norm_auc: AUC; forest: balanced accuracy
    removal: NotRequired[RemovalRecord]  # whose labels signal removal used
    # that the fit ended with; which there are depends on the model
    hyperparameters: NotRequired[dict[str, Any]]
    training: NotRequired[TrainingRecord]  # how the model came to its weights
    metrics: NotRequired[dict[str, float | None]]  # of the test part; None: not defined
    confusion: NotRequired[list[list[int]]]  # test samples; rows true, columns predicted
    notes: NotRequired[list[str]]  # on the metrics
    optimum: NotRequired[OptimumRecord]  # of a linear network: the best that its problem allows
    row_usage: NotRequired[RowUsageRecord]  # which rows were where; rows are beside the predictions
    audit: NotRequired[list[FindingRecord]]  # findings, leaks first
    provenance: NotRequired[ProvenanceRecord]  # versions, commit, machine, seconds
