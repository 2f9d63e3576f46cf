"""What a found record lacks of what is now asked for.

What only adds to a record is no part of its key (see `keys.fit_key`): the kept model, the forest of
the leak probes, the certified optimum. A record that was made without it has the right key and
would be returned without what was asked for; such a fit is made again.
"""

from beyondlinear.records.record import ComposedConfig, FitRecord
from beyondlinear.records.store import RecordStore

KEPT_MODEL = "model_gene_ids"  # the array that every kept model has (see `saved_model`)


def lacks(record: FitRecord, config: ComposedConfig, store: RecordStore) -> str | None:
    """What is asked for now and is not there, in words; None where the record has it all.

    A fit that is made again is made with the config of now, and has then what it can have: what a
    model cannot give (a forest keeps no weights) is asked for once.

    :param record: as found in the store
    :param config: of the run that asks, composed and resolved
    """
    if record["status"] != "done":
        return None
    made_with = record["config"]
    if _lacks_model(record, config, made_with, store):
        return "the kept model (results.keep_model)"
    if _lacks_forest(record, config, made_with):
        return "the forest of the leak probes (leak_probes.trees)"
    if _lacks_optimum(record, config, made_with):
        return "the certified optimum (model.report_optimum)"
    return None


def _lacks_model(
    record: FitRecord, config: ComposedConfig, made_with: ComposedConfig, store: RecordStore
) -> bool:
    asked = config["results"]["keep_model"]
    asked_then = made_with["results"]["keep_model"]
    if not asked or asked_then or not _can_be_kept(record):
        return False
    return KEPT_MODEL not in store.array_names(record["key"])


def _can_be_kept(record: FitRecord) -> bool:
    """Whether the model is a network or a certified linear model: others have no weights to
    keep."""
    trained_in_epochs = record["training"].get("epochs") is not None
    return trained_in_epochs or record["model"]["certified"]


def _lacks_forest(record: FitRecord, config: ComposedConfig, made_with: ComposedConfig) -> bool:
    trees = config["leak_probes"]["trees"]
    if trees == 0 or record["names"]["signal_removal"] == "none":
        return False
    return "forest" not in record["leak_probes"] or made_with["leak_probes"]["trees"] != trees


def _lacks_optimum(record: FitRecord, config: ComposedConfig, made_with: ComposedConfig) -> bool:
    largest = config["model"].get("report_optimum")
    if largest is None:
        return False
    optimum = record.get("optimum")
    if optimum is None:
        return True
    # a problem that was too large for the limit of then may be within that of now
    return "reason" in optimum and largest > (made_with["model"].get("report_optimum") or 0)
