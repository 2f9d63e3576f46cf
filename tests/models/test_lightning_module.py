import pytest
import pytorch_lightning as pl
import torch

from beyondlinear.models.datamodule import Batches
from beyondlinear.models.lightning_module import Classifier
from beyondlinear.models.losses import cross_entropy


def test_it_trains_with_a_trainer_of_anyone(tmp_path):
    """Nothing of ours is around it: a bare Trainer gives the losses as means over the samples."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(10, 3, generator=generator)
    codes = torch.arange(10) % 2
    weights = torch.tensor([0.5, 2.0])
    network = torch.nn.Linear(3, 2)
    module = Classifier(network, cross_entropy, lambda p: torch.optim.SGD(p, lr=0.0), weights)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    # batches of 4, 3 and 3 samples: a mean of their means would be another number
    trainer.fit(module, Batches(x, codes, 4), Batches(x, codes, 4))
    with torch.no_grad():
        expected = (weights[codes] * cross_entropy(network(x), codes)).mean().item()
    assert float(trainer.callback_metrics["train_loss"]) == pytest.approx(expected, abs=1e-6)
    assert float(trainer.callback_metrics["validation_loss"]) == pytest.approx(expected, abs=1e-6)
    assert trainer.callback_metrics["validation_loss"].dtype == torch.float64
