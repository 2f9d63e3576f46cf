"""Score new samples with stored models, and say which genes moved them."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from beyondlinear.data.user_files.source import load_unlabelled
from beyondlinear.models.networks import Linear
from beyondlinear.records.saved_model import SavedModel
from beyondlinear.records.store import load_record
from beyondlinear.removal.frozen import FrozenRemoval
from beyondlinear.report.reading import read
from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import atomic

STEPS = 50  # of the path that integrated gradients are summed over
_SHOWN = 20  # genes in a figure


def load_for(model: SavedModel, expression: str) -> AnnData:
    """New samples, in the units that the model was fitted on; genes may be in any order."""
    dataset = model.record["config"]["dataset"]
    return load_unlabelled(
        expression, model.gene_ids, dataset.get("transform", "none"), dataset.get("gene_lengths")
    )


def predict_samples(where: str, expression: str, out: str) -> pd.DataFrame:
    """One row a sample: predicted class, and a column a class, its probability, or its score where
    the loss is a hinge. Of several folds, their mean.

    :param where: a record, or a run directory
    :raises ResultsError: no stored model, genes are missing, or `out` cannot be written
    """
    models = stored_models(where)
    first = models[0]
    samples = load_for(first, expression)
    gene_ids = samples.var_names.to_numpy()
    per_model = []
    for model in models:
        scores = model.scores(np.asarray(samples.X), gene_ids)
        probabilities = model.probabilities(scores)
        per_model.append(scores if probabilities is None else probabilities)
    mean = np.mean(per_model, axis=0)
    predicted = [first.classes[code] for code in mean.argmax(1)]
    table = pd.DataFrame({"sample": samples.obs_names, "predicted": predicted})
    quantity = "probability" if first.calibrated else "score"
    for code, name in enumerate(first.classes):
        table[f"{quantity}: {name}"] = mean[:, code]
    table["models"] = len(models)
    _write(table, out)
    return table


def _write(table: pd.DataFrame, out: str) -> None:
    if not out.endswith((".csv", ".csv.gz")):
        raise ResultsError(f"--out {out}: the name must end in .csv or .csv.gz")
    with atomic(Path(out)) as temporary:
        table.to_csv(temporary, index=False, compression="gzip" if out.endswith(".gz") else None)


def attribute(where: str, expression: str | None, out: str) -> pd.DataFrame:
    """One row a gene and class, the most important first; a figure of the first beside it (.png).

    Linear models: the coefficient per unit of the gene as it was given to the model before scaling,
    mean over folds, less the mean over classes (which changes no prediction). Networks: the mean of
    integrated gradients (Sundararajan, Taly & Yan 2017) from the mean sample over the given samples
    that are predicted as the class; `expression` is needed.

    :raises ResultsError: no stored model, a network without samples, genes are missing
    """
    models = stored_models(where)
    per_model = []
    for model in models:
        if isinstance(model.network, Linear) and model.eraser is None:
            per_model.append(coefficients(model))
        elif expression is None:
            raise ResultsError(
                "attributions of a network are of samples: give an expression file after the fit"
            )
        else:
            samples = load_for(model, expression)
            x, gene_ids = np.asarray(samples.X), samples.var_names.to_numpy()
            per_model.append(integrated_gradients(model, x, gene_ids))
    table = over_models(pd.concat(per_model, ignore_index=True))
    table = table.rename(columns={"mean": "attribution", "sd": "sd over models"})
    _write(table, out)
    _draw(table, models[0], Path(out))
    return table


def over_models(values: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over models, the genes with the largest means first.

    :param values: gene, class and value, of one model or several
    :returns: gene, class, mean, sd, models
    """
    by_gene = values.groupby(["gene", "class"], sort=False).value
    table = by_gene.agg(["mean", "std", "size"]).reset_index()
    table.columns = pd.Index(["gene", "class", "mean", "sd", "models"])
    largest_of_gene = table.groupby("gene")["mean"].transform(lambda means: means.abs().max())
    table = table.assign(largest=largest_of_gene).sort_values(
        ["largest", "gene", "class"], ascending=[False, True, True]
    )
    return table.drop(columns="largest").reset_index(drop=True)


def coefficients(model: SavedModel) -> pd.DataFrame:
    """gene, class, value: change of the class's score, against the mean of the classes, for one
    unit more of the gene.

    :raises ResultsError: a network that is not linear
    """
    network = model.network
    if not isinstance(network, Linear):
        raise ResultsError(f"{type(network).__name__} has no coefficient for each gene and class")
    weights = network.layer.weight.detach().numpy().astype(np.float64)
    if model.preparation.factor is not None:
        weights = weights * model.preparation.factor  # of the gene before scaling
    return _long(weights - weights.mean(0), model)


def integrated_gradients(model: SavedModel, x: np.ndarray, gene_ids: np.ndarray) -> pd.DataFrame:
    """gene, class, value; NaN for a class that no sample is predicted as.

    :param x: (n_samples, n_genes) in the units that the model was fitted on
    """
    from captum.attr import IntegratedGradients

    prepared = torch.from_numpy(model.prepare(x, gene_ids))
    method = IntegratedGradients(model.network)
    mean_sample = prepared.mean(0, keepdim=True)
    with torch.no_grad():
        predicted = model.network(prepared).argmax(1)
    values = np.full((len(model.classes), prepared.shape[1]), np.nan)
    for code in range(len(model.classes)):
        rows = prepared[predicted == code]
        if len(rows):
            of_rows = method.attribute(
                rows, mean_sample, target=code, n_steps=STEPS, internal_batch_size=256
            )
            values[code] = of_rows.detach().numpy().mean(0)
    return _long(values, model)


def _long(values: np.ndarray, model: SavedModel) -> pd.DataFrame:
    """:param values: (n_classes, n_genes)"""
    n_classes, n_genes = values.shape
    genes = np.tile(model.gene_ids, n_classes)
    classes = np.repeat(model.classes, n_genes)
    return pd.DataFrame({"gene": genes, "class": classes, "value": values.ravel()})


def _draw(table: pd.DataFrame, model: SavedModel, out: Path) -> None:
    from plotnine import aes, coord_flip, facet_wrap, geom_col, ggplot, labs

    from beyondlinear.report.drawing import n_rows, plain, style

    first = list(dict.fromkeys(table.gene))[:_SHOWN]
    shown = table[table.gene.isin(first)].dropna(subset=["attribution"]).copy()
    order = [plain(gene) for gene in reversed(first)]
    shown["gene"] = pd.Categorical([plain(gene) for gene in shown.gene], order)
    shown["class"] = [plain(name) for name in shown["class"]]
    linear = isinstance(model.network, Linear)
    quantity = "coefficient per unit of the gene" if linear else "mean integrated gradient"
    n_classes = shown["class"].nunique()
    n_columns = min(n_classes, 4)
    plot = (
        ggplot(shown, aes("gene", "attribution"))
        + geom_col(fill="#0072B2")
        + facet_wrap("class", ncol=n_columns)
        + coord_flip()
        + labs(x="", y=f"{quantity} (mean of {int(shown.models.max())} models)")
        + style(2.6 * n_columns + 2, 4.0 * n_rows(n_classes, n_columns) + 0.5)
    )
    plot.save(out.with_name(out.name.split(".")[0] + ".png"), dpi=150, verbose=False)


def stored_models(where: str | Path) -> list[SavedModel]:
    """The model of a record, or those of a run directory at its largest fraction, one a fold.

    :raises ResultsError: none is there
    """
    where = Path(where)
    if where.suffix == ".json":
        return [SavedModel.read(where)]
    gathered = read([where])
    done = gathered.done
    kinds = done[["panel", "learner", "signal_removal", "control"]].drop_duplicates()
    if len(kinds) != 1:
        named = "; ".join(", ".join(map(str, kind)) for kind in kinds.itertuples(index=False))
        raise ResultsError(
            f"{where} holds {len(kinds)} kinds of finished fits, predict takes one:"
            f" {named or 'none'}"
        )
    done = done[done.fraction == done.fraction.max()]
    return [SavedModel.read(gathered.stores[key].path(key)) for key in done.key]


def erase(record_path: str | Path, expression: str, out: str | Path) -> AnnData:
    """Put the samples of a file through the frozen eraser of a fit and write them as an .h5ad; no
    labels are needed.

    The file is read as the fit's data were: with the same transform, before the fit's gene
    selection and scaling.
    :raises ResultsError: no record of a done fit, or `out` cannot be written
    :raises RemovalError: the fit learnt no eraser, or genes are missing
    """
    record, arrays = load_record(record_path)
    if arrays is None:
        raise ResultsError(
            f"{record_path} is no record of a done fit; give another of …/records/??/*.json"
        )
    if Path(out).suffix != ".h5ad":
        raise ResultsError(f"--out {out}: the name must end in .h5ad")
    frozen = FrozenRemoval.from_arrays(arrays)
    dataset = record["config"]["dataset"]
    adata = load_unlabelled(
        expression, frozen.gene_ids, dataset.get("transform", "none"), dataset.get("gene_lengths")
    )
    x = frozen.apply(adata.X, adata.var_names.to_numpy())
    erased = AnnData(
        X=x, obs=adata.obs, var=pd.DataFrame(index=pd.Index(frozen.gene_ids.astype(object)))
    )
    erased.uns["eraser"] = {
        "record": record["key"],
        "signal_removal": record["names"]["signal_removal"],
    }
    with atomic(Path(out)) as temporary:
        erased.write_h5ad(temporary)
    return erased
