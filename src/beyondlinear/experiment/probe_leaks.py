"""The leak probes of one fit, read once for all models that share its parts."""

from beyondlinear.evaluation.leak_probes import forest_accuracy, norm_auc
from beyondlinear.experiment.context import RunContext
from beyondlinear.experiment.plan import Fit
from beyondlinear.models.interface import Part
from beyondlinear.records.keys import fit_key
from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import read_json, write_json
from beyondlinear.runtime.seeds import stream_seed


def probe_leaks(context: RunContext, fit: Fit, parts: dict[str, Part]) -> dict[str, float]:
    """AUC of a sample's squared length and, after removal, the balanced accuracy of a random forest
    of `leak_probes.trees` trees (none where that is 0)."""
    train, test = parts["train"], parts["test"]
    probes = {"norm_auc": norm_auc(train, test, context.n_classes)}
    trees = context.cfg.leak_probes.trees
    if trees == 0 or not context.removal.removes:
        return probes
    # the parts are the same for every model, and so is what a forest finds in them
    shared = {"model": {"name": "leak probe", "trees": trees}, "tuning": {"method": "none"}}
    config = {**context.config, **shared}
    key = fit_key(config, context.data["fingerprint"], fit.fold, fit.fraction, fit.pretrained)
    path = context.store.root / "leak_probes" / f"{key}.json"
    if path.exists():
        try:
            return probes | {"forest": float(read_json(path)["forest"])}
        except (ResultsError, KeyError, TypeError):  # it is grown again below
            path.unlink()
    seed = stream_seed(context.seed, "meter", fit.fold.number, fit.fraction)
    threads = context.trainer.threads
    forest = forest_accuracy(train, test, context.n_classes, trees, seed, threads)
    write_json(path, {"forest": forest, "trees": trees})
    return probes | {"forest": forest}
