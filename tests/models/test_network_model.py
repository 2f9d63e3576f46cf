import functools
import itertools
import os
import signal

import numpy as np
import pytest
import torch

from beyondlinear.models.compiled import linear as compiled_linear
from beyondlinear.models.datamodule import Batches
from beyondlinear.models.interface import (
    FitData,
    FitSeeds,
    Part,
    TrainerConfig,
    TrainingDiverged,
)
from beyondlinear.models.lightning_module import Classifier
from beyondlinear.models.losses import LOSSES, cross_entropy, hinge
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.models.networks import FiveLayer, Linear
from beyondlinear.runtime.errors import Terminated, exit_code_of
from beyondlinear.runtime.seeds import stream_seed

SETTINGS = TrainerConfig(
    accelerator="cpu",
    threads=1,
    batch_size=16,
    gradient_clip=1.0,
    max_epochs=30,
    patience=7,
    stop_below=None,
    epochs_without_validation=4,
)


def data(n: int = 60, p: int = 8, validation: bool = True, seed: int = 0) -> FitData:
    rng = np.random.default_rng(seed)

    def part(m: int) -> Part:
        codes = np.arange(m) % 2
        x = rng.normal(0, 1, (m, p)).astype(np.float32) + codes[:, None].astype(np.float32)
        return Part(x, codes, np.arange(m))

    fit, validation_part, test = part(n), part(20), part(30)
    return FitData(fit, validation_part if validation else None, test.x, 2, FitSeeds.drawn(seed))


SEEDS = FitSeeds.drawn(0)


@pytest.fixture(params=["lightning", "compiled"])
def engine(request):
    return request.param


def model(
    network=Linear,
    lr: float = 1e-2,
    loss: str = "cross_entropy",
    engine: str = "lightning",
) -> NetworkModel:
    """Adam that is not fused is trained by Lightning, a fused one by the compiled engine."""
    adam = functools.partial(torch.optim.Adam, lr=lr, weight_decay=0.0, fused=engine == "compiled")
    return NetworkModel(network, loss, adam)


@pytest.fixture
def scripted(monkeypatch):
    """Training whose validation loss per epoch is read from a list, with either engine."""

    def script(losses: list[float]) -> None:
        values = iter(losses)

        def logs_the_next(self, batch, batch_index):
            loss = torch.tensor(next(values), dtype=torch.float64)
            self.log("validation_loss", loss, on_step=False, on_epoch=True, batch_size=20)

        monkeypatch.setattr(Classifier, "validation_step", logs_the_next)
        monkeypatch.setattr(compiled_linear, "mean_loss", lambda *_: next(values))

    return script


def test_losses_by_hand():
    scores, codes = torch.tensor([[2.0, 0.0, 1.5], [0.0, 0.0, 0.0]]), torch.tensor([0, 1])
    # first row: max(0, 1 − 2 + 0) + max(0, 1 − 2 + 1.5) = 0.5, over K − 1 = 2; second: (1 + 1)/2
    assert hinge(scores, codes).tolist() == [0.25, 1.0]
    assert cross_entropy(scores, codes)[1].item() == pytest.approx(np.log(3))


def test_hinge_pulls_at_zero_like_the_cross_entropy():
    """Bug 8 of the published code: an unnormalised hinge makes the same weight decay mean something
    else."""
    for k in (2, 5, 21):
        gradients = []
        for loss in (hinge, cross_entropy):
            scores = torch.zeros(1, k, requires_grad=True)
            loss(scores, torch.tensor([0])).sum().backward()
            gradients.append(scores.grad.clone())
        assert torch.allclose(gradients[0], gradients[1] * k / (k - 1), atol=1e-6)


def test_class_weights_are_inverse_frequencies_with_mean_1():
    x = np.zeros((10, 1), dtype=np.float32)
    codes = np.array([0] * 8 + [1] * 2)
    weights = FitData(Part(x, codes, np.arange(10)), None, x, 2, SEEDS).class_weights()
    assert weights.tolist() == [0.625, 2.5]
    assert weights[codes].mean() == 1


def test_probabilities_are_those_of_the_data_as_they_are():
    """Class weights train as if classes were equally common; on noise with 5 % of class 1 the
    log-loss must be the constant's, −(0.95 log 0.95 + 0.05 log 0.05) = 0.199, not log 2."""
    rng = np.random.default_rng(0)
    codes = (np.arange(2000) % 20 == 0).astype(int)
    part = Part(rng.normal(size=(2000, 3)).astype(np.float32), codes, np.arange(2000))
    result = model().fit(FitData(part, part, part.x, 2, SEEDS), SETTINGS)
    assert result.probabilities[:, 1].mean() == pytest.approx(0.05, abs=0.01)
    assert -np.log(result.probabilities[np.arange(2000), codes]).mean() == pytest.approx(
        0.199, abs=0.01
    )


def test_a_fit_says_whether_its_validation_loss_ever_beat_a_constants(scripted, engine):
    scripted([0.7, 0.69, 0.71, *[0.8] * 30])  # log 2 = 0.6931
    assert model(engine=engine).fit(data(), SETTINGS).training["beats_constant"]
    scripted([0.7, 0.694, 0.71, *[0.8] * 30])
    assert not model(engine=engine).fit(data(), SETTINGS).training["beats_constant"]


def test_the_validation_loss_is_weighted():
    """Bug 9 of the published code: the validation loss ignored the class weights."""
    codes = torch.tensor([0, 0, 0, 1])
    module = Classifier(
        torch.nn.Identity(), cross_entropy, torch.optim.Adam, torch.tensor([2 / 3, 2.0])
    )
    scores = torch.tensor([[1.0, 0.0]] * 4)
    right, wrong = np.log1p(np.exp(-1)), np.log1p(np.exp(1))
    assert module.weighted_loss((scores, codes)).item() == pytest.approx(
        (3 * 2 / 3 * right + 2 * wrong) / 4
    )


def test_patience_counts_anew_after_each_improvement(scripted, engine):
    """Bug 2 of the published code: seven bad epochs in total, wherever they lay, ended the
    training."""
    # four bad epochs after each better one: never 7 in a row, 16 in all by epoch 20
    scripted([loss for step in range(4) for loss in (1 - 0.1 * step, 2, 2, 2, 2)] + [3] * 30)
    result = model(engine=engine).fit(data(), SETTINGS)
    # best is epoch 16; it takes epochs 17 to 23 without a better one to stop
    assert result.training["best_epoch"] == 16
    assert result.training["epochs"] == 23
    assert result.training["stopped_by"] == "patience"


@pytest.mark.parametrize(
    ("network", "engine"),
    [(Linear, "lightning"), (FiveLayer, "lightning"), (Linear, "compiled")],
)
def test_the_best_epochs_weights_are_restored_and_scored(scripted, network, engine):
    """Bug 13 of the published code: on the CPU the "best" weights were references to the last
    ones."""
    scripted([5, 4, 1, *[2] * 30])
    stopped_late = model(network, engine=engine).fit(data(), SETTINGS)
    assert (stopped_late.training["best_epoch"], stopped_late.training["epochs"]) == (3, 10)
    three, ten = (
        model(network, engine=engine).fit(
            data(validation=False),
            TrainerConfig(**{**vars(SETTINGS), "epochs_without_validation": n}),
        )
        for n in (3, 10)
    )
    assert np.array_equal(stopped_late.scores, three.scores)
    assert not np.array_equal(stopped_late.scores, ten.scores)


def test_without_a_validation_part_training_lasts_a_fixed_number_of_epochs(engine):
    result = model(engine=engine).fit(data(validation=False), SETTINGS)
    assert result.training["epochs"] == 4
    assert result.training["stopped_by"] == "fixed epochs"
    assert result.validation_scores is None


def test_stop_below_ends_training_once_nothing_is_left_to_gain(scripted, engine):
    scripted([0.5, 0.01, 0.0005, 0.1, 0.1])
    result = model(engine=engine).fit(
        data(), TrainerConfig(**{**vars(SETTINGS), "stop_below": 1e-3})
    )
    assert (result.training["epochs"], result.training["stopped_by"]) == (
        3,
        "loss below stop_below",
    )


def test_a_loss_that_is_never_finite_is_said(scripted, engine):
    scripted([float("nan")] * 50)
    with pytest.raises(TrainingDiverged, match="lower model.optimizer.lr"):
        model(engine=engine).fit(data(), SETTINGS)


def test_hinge_scores_come_without_probabilities():
    assert model(loss="hinge").fit(data(), SETTINGS).probabilities is None
    p = model().fit(data(), SETTINGS).probabilities
    assert np.allclose(p.sum(1), 1)


@pytest.mark.parametrize("network", [Linear, FiveLayer])
def test_same_seed_same_bits_and_the_global_generator_is_left_alone(network, engine):
    torch.manual_seed(123)
    state = torch.get_rng_state()
    first = model(network, engine=engine).fit(data(), SETTINGS)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(456)
    again = model(network, engine=engine).fit(data(), SETTINGS)
    other = model(network, engine=engine).fit(data(seed=1), SETTINGS)
    assert np.array_equal(first.scores, again.scores)
    assert first.training == again.training
    assert not np.array_equal(first.scores, other.scores)


def test_initialisations_differ_by_seed():
    """Bug 11 of the published code: three "seeds" shared one initialisation."""
    seen = set()
    for seed, fold in itertools.product((0, 1, 2), (0, 1)):
        torch.manual_seed(stream_seed(seed, "initialisation", fold, 1.0))
        seen.add(Linear(3, 2).layer.weight[0, 0].item())
    assert len(seen) == 6


def test_epochs_are_told(engine):
    told = []
    model(engine=engine).fit(
        data(validation=False), SETTINGS, on_epoch=lambda epoch, most: told.append((epoch, most))
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_training_is_a_plain_loop_over_the_same_batches(clip, loss):
    """Adam without its fused form, clip_grad_norm_, class weights by sample: the losses agree to
    float32's rounding."""
    given = data()
    result = model(loss=loss).fit(
        given, TrainerConfig(**{**vars(SETTINGS), "gradient_clip": clip, "max_epochs": 5})
    )
    fused = NetworkModel(Linear, loss, functools.partial(torch.optim.Adam, lr=1e-2, fused=True))
    again = fused.fit(
        given, TrainerConfig(**{**vars(SETTINGS), "gradient_clip": clip, "max_epochs": 5})
    )
    torch.manual_seed(given.seeds.initialisation)
    network, generator = Linear(8, 2), torch.Generator().manual_seed(given.seeds.batch_order)
    adam = torch.optim.Adam(network.parameters(), lr=1e-2, foreach=False)
    parts = [
        (torch.from_numpy(p.x), torch.from_numpy(p.codes)) for p in (given.train, given.validation)
    ]
    weights, history = torch.from_numpy(given.class_weights()).float(), []
    for _ in range(5):
        losses = []
        for x, codes in Batches(*parts[0], 16, generator):
            each = weights[codes] * LOSSES[loss](network(x), codes)
            adam.zero_grad()
            each.mean().backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
            adam.step()
            losses += each.tolist()
        x, codes = parts[1]
        validation = (weights[codes] * LOSSES[loss](network(x), codes)).mean().item()
        history.append((sum(losses) / len(losses), validation))
    for made in (result, again):
        assert [(e["train_loss"], e["validation_loss"]) for e in made.training["history"]] == [
            pytest.approx(losses, abs=1e-5) for losses in history
        ]


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [(signal.SIGINT, KeyboardInterrupt, 130), (signal.SIGTERM, Terminated, 143)],
)
@pytest.mark.usefixtures("ctrl_c")
def test_who_stops_a_training_is_told_as_what_it_is(number, kind, code, engine):
    before, epochs = signal.getsignal(number), []

    def second_epoch(epoch: int, of: int) -> None:
        epochs.append(epoch)
        if epoch == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt) as stopped:
        model(engine=engine).fit(data(), SETTINGS, on_epoch=second_epoch)
    assert (type(stopped.value), exit_code_of(stopped.value)) == (kind, code)
    assert epochs == [1, 2]
    assert signal.getsignal(number) == before
