"""Score new samples with stored models, and say which genes moved them."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import nn

from beyondlinear.data.file import load_unlabelled
from beyondlinear.errors import ResultsError
from beyondlinear.networks import Linear
from beyondlinear.results import atomic
from beyondlinear.stored import StoredModel, stored_models

STEPS = 50  # of the path that integrated gradients are summed over
_SHOWN = 20  # genes in a figure


def load_for(model: StoredModel, expression: str) -> AnnData:
    """New samples, in the units that the model was fitted on; genes may be in any order."""
    dataset = model.record["config"]["dataset"]
    return load_unlabelled(expression, model.gene_ids, dataset.get("transform", "none"), dataset.get("gene_lengths"))


def predict_samples(where: str, expression: str, out: str) -> pd.DataFrame:
    """One row a sample: predicted class, and a column a class, its probability, or its score where the loss is a hinge. Of
    several folds, their mean.

    :raises ResultsError: no stored model, genes are missing, or `out` cannot be written
    """
    models = stored_models(where)
    data = load_for(models[0], expression)
    genes, found = data.var_names.to_numpy(), []
    for model in models:
        scores = model.scores(np.asarray(data.X), genes)
        p = model.probabilities(scores)
        found.append(scores if p is None else p)
    mean = np.mean(found, axis=0)
    what = "probability" if models[0].calibrated else "score"
    classes = models[0].classes
    table = pd.DataFrame({"sample": data.obs_names, "predicted": [classes[i] for i in mean.argmax(1)]})
    for c, name in enumerate(classes):
        table[f"{what}: {name}"] = mean[:, c]
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

    Linear models: the coefficient per unit of the gene as it was given to the model before scaling, mean over folds, less the
    mean over classes (which changes no prediction). Networks: the mean of integrated gradients (Sundararajan, Taly & Yan 2017)
    from the mean sample over the given samples that are predicted as the class; `expression` is needed.

    :raises ResultsError: no stored model, a network without samples, genes are missing
    """
    models = stored_models(where)
    per_model = []
    for model in models:
        if isinstance(model.network, Linear) and model.eraser is None:
            per_model.append(coefficients(model))
        elif expression is None:
            raise ResultsError("attributions of a network are of samples: give an expression file after the fit")
        else:
            data = load_for(model, expression)
            per_model.append(integrated_gradients(model, np.asarray(data.X), data.var_names.to_numpy()))
    found = pd.concat(per_model, ignore_index=True)
    table = found.groupby(["gene", "class"], sort=False).value.agg(["mean", "std", "size"]).reset_index()
    table.columns = ["gene", "class", "attribution", "sd over models", "models"]
    largest = table.groupby("gene").attribution.transform(lambda a: a.abs().max())
    table = table.assign(largest=largest).sort_values(["largest", "gene", "class"], ascending=[False, True, True])
    table = table.drop(columns="largest").reset_index(drop=True)
    _write(table, out)
    _draw(table, models[0], Path(out))
    return table


def coefficients(model: StoredModel) -> pd.DataFrame:
    """gene, class, value: change of the class's score, against the mean of the classes, for one unit more of the gene."""
    layer = model.network.layer
    assert isinstance(layer, nn.Linear)
    w = layer.weight.detach().numpy().astype(np.float64)
    if model.preparation.factor is not None:
        w = w * model.preparation.factor
    return _long(w - w.mean(0), model)


def integrated_gradients(model: StoredModel, x: np.ndarray, gene_ids: np.ndarray) -> pd.DataFrame:
    """gene, class, value; NaN for a class that no sample is predicted as."""
    from captum.attr import IntegratedGradients

    ready = torch.from_numpy(model.prepare(x, gene_ids))
    method = IntegratedGradients(model.network)
    baseline = ready.mean(0, keepdim=True)
    with torch.no_grad():
        predicted = model.network(ready).argmax(1)
    values = np.full((len(model.classes), ready.shape[1]), np.nan)
    for c in range(len(model.classes)):
        rows = ready[predicted == c]
        if len(rows):
            given = method.attribute(rows, baseline, target=c, n_steps=STEPS, internal_batch_size=256)
            values[c] = given.detach().numpy().mean(0)
    return _long(values, model)


def _long(values: np.ndarray, model: StoredModel) -> pd.DataFrame:
    n_genes = len(model.gene_ids)
    genes, classes = np.tile(model.gene_ids, len(model.classes)), np.repeat(model.classes, n_genes)
    return pd.DataFrame({"gene": genes, "class": classes, "value": values.ravel()})


def _draw(table: pd.DataFrame, model: StoredModel, out: Path) -> None:
    from plotnine import aes, coord_flip, facet_wrap, geom_col, ggplot, labs

    from beyondlinear.report.figures import plain, style

    first = list(dict.fromkeys(table.gene))[:_SHOWN]
    shown = table[table.gene.isin(first)].dropna(subset=["attribution"]).copy()
    shown["gene"] = pd.Categorical([plain(g) for g in shown.gene], [plain(g) for g in reversed(first)])
    shown["class"] = [plain(c) for c in shown["class"]]
    linear = isinstance(model.network, Linear)
    unit = "coefficient per unit of the gene" if linear else "mean integrated gradient"
    n = shown["class"].nunique()
    plot = (
        ggplot(shown, aes("gene", "attribution"))
        + geom_col(fill="#0072B2")
        + facet_wrap("class", ncol=min(n, 4))
        + coord_flip()
        + labs(x="", y=f"{unit} (mean of {int(shown.models.max())} models)")
        + style(2.6 * min(n, 4) + 2, 4.0 * -(-n // 4) + 0.5)
    )
    plot.save(out.with_name(out.name.split(".")[0] + ".png"), dpi=150, verbose=False)
