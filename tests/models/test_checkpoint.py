from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_up import composed, make_context

from beyondlinear.models.checkpoint import EpochCheckpoint
from beyondlinear.models.interface import FitData, FitSeeds, Part

ENGINES = [
    ("model=five_layer", "trainer.engine=lightning"),
    ("model=five_layer", "trainer.engine=compiled"),
    (
        "model=logistic_regression",
        "trainer.engine=compiled",
        "model.lr_at_genes=null",
        "model.optimizer.lr=1.0",
    ),
]


class Killed(Exception):
    pass


def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 30)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)

    def part(a: int, z: int) -> Part:
        return Part(x[a:z], y[a:z], np.arange(a, z))

    return FitData(part(0, 120), part(120, 160), x[160:], 2, FitSeeds.drawn(0))


@pytest.fixture(params=ENGINES)
def context(request, tmp_path):
    """Each of the ways to make an epoch of a network."""
    more = (
        *request.param,
        "trainer.max_epochs=40",
        "trainer.patience=40",
        "trainer.checkpoint_minutes=0",
    )
    return make_context(
        composed("logger=none", "dataset.n_samples=200", "dataset.n_genes=30", *more), tmp_path
    )


def fit(context, **more):
    return context.model.fit(data(), context.trainer, **more)


def stop_after(epochs: int):
    def tell(epoch: int, of: int) -> None:
        if epoch > epochs:
            raise Killed

    return tell


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_resumed_training_ends_in_the_same_bits(context, tmp_path, epochs):
    undisturbed = fit(context)
    path = tmp_path / "checkpoints" / "fit.ckpt"
    with pytest.raises(Killed):
        fit(context, on_epoch=stop_after(epochs), checkpoint=path)
    seen = []
    resumed = fit(context, on_epoch=lambda epoch, of: seen.append(epoch), checkpoint=path)
    assert seen[0] == epochs + 1  # the epochs before are not made again
    assert resumed.training == undisturbed.training
    np.testing.assert_array_equal(resumed.scores, undisturbed.scores)


def test_one_stopped_after_its_last_epoch_still_ends_with_the_best_weights(context, tmp_path):
    path = tmp_path / "fit.ckpt"
    undisturbed = fit(context, checkpoint=path)
    best = undisturbed.training["best_epoch"]
    assert best < undisturbed.training["epochs"] == 40
    assert path.exists()  # who kills it now loses the record, and nothing else
    seen = []
    resumed = fit(context, on_epoch=lambda epoch, of: seen.append(epoch), checkpoint=path)
    assert seen == []
    assert resumed.training == undisturbed.training
    np.testing.assert_array_equal(resumed.scores, undisturbed.scores)


def test_a_damaged_checkpoint_is_put_aside(context, tmp_path, caplog):
    path = tmp_path / "fit.ckpt"
    path.write_bytes(b"half a file")
    again = fit(context, checkpoint=path)
    assert "is not a readable checkpoint" in caplog.text
    np.testing.assert_array_equal(again.scores, fit(context).scores)


def test_none_is_written_before_its_time(tmp_path):
    context = make_context(
        composed("logger=none", "dataset.n_samples=200", "dataset.n_genes=30", "model=five_layer"),
        tmp_path,
    )
    assert context.trainer.checkpoint_minutes == 10
    fit(context, checkpoint=tmp_path / "fit.ckpt")
    assert not (tmp_path / "fit.ckpt").exists()


def test_how_often_is_no_part_of_the_key(run_here):
    tiny = [
        "dataset.n_samples=60",
        "dataset.n_genes=12",
        "split.folds=2",
        "logger=none",
        "model=logistic_regression",
    ]
    first = run_here(*tiny)
    second = run_here(*tiny, "trainer.checkpoint_minutes=0")
    assert [r["key"] for r in first] == [r["key"] for r in second]


def test_dropout_on_a_gpu_goes_on_in_its_own_generator(tmp_path, monkeypatch):
    # no GPU is needed to see which generators are read and set
    of_gpu, put_back = torch.tensor([1, 2, 3], dtype=torch.uint8), []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: of_gpu)
    monkeypatch.setattr(
        torch.cuda,
        "set_rng_state",
        lambda state, device: put_back.append((state.tolist(), device.type)),
    )
    for device, expected in (("cpu", []), ("cuda", [([1, 2, 3], "cuda")])):
        module = SimpleNamespace(device=torch.device(device))
        before, after = (EpochCheckpoint(tmp_path / "fit.ckpt", 10) for _ in range(2))
        before.on_train_epoch_end(SimpleNamespace(should_stop=False), module)
        after.load_state_dict(before.state_dict())
        after.on_train_epoch_start(None, module)
        assert put_back == expected
