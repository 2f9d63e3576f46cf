"""The columns of the table of fits."""

from typing import TypeAlias

GROUPS = ["dataset", "task", "model", "signal_removal", "control", "split", "protocol", "tuning"]
NAMES = [*GROUPS, "pretrained"]
# what the model states about itself; missing where there is no record, or one that does not say
PROPERTIES = ["linear", "certified"]
METRICS = ["balanced_accuracy", "accuracy", "macro_f1", "auroc", "log_loss"]
# of the certified optimum of the same fit, beside a linear model that was trained like a net
OPTIMUM = ["optimum_gap", "optimum_balanced_accuracy", "optimum_log_loss"]
# leak probes of the same parts: AUC of a sample's squared length; balanced accuracy of a forest,
# after removal
LEAK_PROBES = ["norm_auc", "forest"]
COUNTS = ["n_outer_train", "n_train", "n_validation", "n_test", "n_train_groups", "n_classes"]
COLUMNS = [
    *NAMES,
    *PROPERTIES,
    "variant",
    "direction",
    "draw",
    "seed",
    "fold",
    "fraction",
    *COUNTS,
    *METRICS,
    *OPTIMUM,
    *LEAK_PROBES,
    "bayes_accuracy",
    "agreement",
    "epochs",
    "seconds",
    "status",
    "reason",
    "key",
]
CELL = [*NAMES, "variant", "fraction"]
# columns that hold numbers, whatever a record wrote
NUMBERS = [
    *COUNTS,
    *METRICS,
    *OPTIMUM,
    *LEAK_PROBES,
    "bayes_accuracy",
    "agreement",
    "draw",
    "epochs",
    "seconds",
]

Row: TypeAlias = dict[str, object]  # column of COLUMNS → value, None where it is missing
