"""A model beside its record is rebuilt from a fixed table of classes and gives the fit's scores."""

import copy

import numpy as np
import pytest
import torch

from beyondlinear.data.scaling import Preparation
from beyondlinear.models.interface import FitResult, Optimum
from beyondlinear.models.networks import FiveLayer, Linear, ThreeLayer
from beyondlinear.records.saved_model import SavedModel, model_arrays
from beyondlinear.records.store import RecordStore
from beyondlinear.runtime.errors import ResultsError

GENES = np.array(["g1", "g2", "g3"])
CLASSES = np.array(["a", "b"])
NETWORKS = "beyondlinear.models.networks"
RECORD = {
    "format": 2,
    "key": "ab12",
    "status": "done",
    "names": {"model": "a model", "signal_removal": "none"},
    "model": {"linear": False, "certified": False, "probabilities": True, "coefficients": False},
    "counts": {"per_class": {"train": {"a": 3, "b": 1}}},
}


def result_of(network=None, optimum=None) -> FitResult:
    return FitResult(np.zeros((1, 2)), None, None, {}, {}, network=network, optimum=optimum)


def saved(tmp_path, arrays: dict, config: dict, **changes):
    record = copy.deepcopy(RECORD) | {"config": {"model": config}} | changes
    store = RecordStore(tmp_path)
    store.put(record, arrays | {"classes": CLASSES})
    return store.path("ab12")


def network_config(name: str, **more) -> dict:
    return {"network": {"_target_": f"{NETWORKS}.{name}", "_partial_": True, **more}}


@pytest.mark.parametrize(
    ("network_class", "more"),
    [(Linear, {}), (ThreeLayer, {"dropout": 0.25, "initialisation": "torch"}), (FiveLayer, {})],
)
def test_a_network_gives_the_scores_that_it_gave(tmp_path, network_class, more):
    torch.manual_seed(0)
    network = network_class(3, 2, **more).eval()
    arrays = model_arrays(result_of(network), Preparation(None, None, None), GENES)
    path = saved(tmp_path, arrays, network_config(network_class.__name__, **more))
    model = SavedModel.read(path)
    assert type(model.network) is network_class
    x = np.array([[0.5, -1, 2], [3, 0, 1]], dtype=np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    # genes in another order, and one more
    shuffled = np.c_[x[:, [2, 0]], np.ones(2), x[:, 1]].astype(np.float32)
    found = model.scores(shuffled, np.array(["g3", "g1", "other", "g2"]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_certified_optimum_becomes_a_linear_layer(tmp_path):
    """One score vector s has the columns −s/2 and s/2: their softmax is the sigmoid of s."""
    coefficients = torch.tensor([[1.0], [0.0], [-2.0]], dtype=torch.float64)
    optimum = Optimum(0.1, coefficients, torch.tensor([0.5], dtype=torch.float64), 0.6, 1e-9, 3)
    arrays = model_arrays(result_of(optimum=optimum), Preparation(None, None, None), GENES)
    properties = RECORD["model"] | {"linear": True, "certified": True}
    path = saved(tmp_path, arrays, {"_target_": "x.RidgeModel"}, model=properties)
    model = SavedModel.read(path)
    scores = model.scores(np.array([[2, 7, 1]], dtype=np.float32), GENES)
    assert scores.tolist() == [[-0.25, 0.25]]  # s = 2·1 − 1·2 + 0.5
    # class weights took log(3/4) and log(1/4) from the scores
    odds = 3 * np.exp(-0.25) / np.exp(0.25)
    assert model.probabilities(scores)[0, 0] == pytest.approx(odds / (1 + odds))


def test_genes_are_chosen_and_scaled_as_in_the_fit(tmp_path):
    shift, factor = np.array([1, 0], dtype=np.float32), np.array([2, 1], dtype=np.float32)
    preparation = Preparation(np.array([0, 2]), shift, factor)
    network = Linear(2, 2)
    arrays = model_arrays(result_of(network), preparation, GENES)
    assert arrays["model_gene_ids"].tolist() == ["g1", "g3"]
    model = SavedModel.read(saved(tmp_path, arrays, network_config("Linear")))
    x = np.array([[3, 9, 5]], dtype=np.float32)
    expected = preparation.apply(x, np.arange(1))
    np.testing.assert_array_equal(model.prepare(x, GENES), expected)


def test_missing_genes_are_named(tmp_path):
    arrays = model_arrays(result_of(Linear(3, 2)), Preparation(None, None, None), GENES)
    model = SavedModel.read(saved(tmp_path, arrays, network_config("Linear")))
    with pytest.raises(ResultsError, match=r"3 genes, and 2 of them are missing here \(g2, g3\)"):
        model.scores(np.ones((1, 1), dtype=np.float32), np.array(["g1"]))


@pytest.mark.parametrize(
    "target", ["os.system", "theirs.Linear", f"{NETWORKS}.Sequential", "torch.nn.Linear"]
)
def test_a_class_that_is_none_of_ours_is_refused_and_never_imported(tmp_path, target):
    arrays = model_arrays(result_of(Linear(3, 2)), Preparation(None, None, None), GENES)
    path = saved(tmp_path, arrays, {"network": {"_target_": target, "command": "true"}})
    with pytest.raises(ResultsError, match=rf"its network is {target}, which is none of Linear"):
        SavedModel.read(path)


def test_weights_of_another_network_are_refused(tmp_path):
    arrays = model_arrays(result_of(Linear(3, 2)), Preparation(None, None, None), GENES)
    path = saved(tmp_path, arrays, network_config("ThreeLayer"))
    with pytest.raises(ResultsError, match="the weights beside the record are not those of Three"):
        SavedModel.read(path)


def test_what_keeps_no_model_is_said(tmp_path):
    assert model_arrays(result_of(), Preparation(None, None, None), GENES) == {}
    path = saved(tmp_path, {}, network_config("Linear"))
    with pytest.raises(ResultsError, match=r"holds no model \(a model\).*results.keep_model=true"):
        SavedModel.read(path)


def test_a_removal_that_new_samples_cannot_go_through_is_said(tmp_path):
    arrays = model_arrays(result_of(Linear(3, 2)), Preparation(None, None, None), GENES)
    names = {"model": "a model", "signal_removal": "class_means"}
    path = saved(tmp_path, arrays, network_config("Linear"), names=names)
    with pytest.raises(ResultsError, match="class_means needs the labels.*none, leace, projection"):
        SavedModel.read(path)
