import numpy as np
import torch

from beyondlinear.models.datamodule import Batches, PartsDataModule
from beyondlinear.models.interface import Part


def batches(n: int, size: int, seed: int | None = 0) -> Batches:
    x = torch.arange(n, dtype=torch.float32)[:, None]
    return Batches(
        x, torch.arange(n), size, None if seed is None else torch.Generator().manual_seed(seed)
    )


def test_every_sample_comes_once_per_pass_with_its_own_label():
    for x, codes in batches(101, 16):
        assert torch.equal(x[:, 0].long(), codes)
    assert sorted(torch.cat([c for _, c in batches(101, 16)]).tolist()) == list(range(101))


def test_no_batch_of_one_sample():
    # 65 = 32 + 33 and not 64 + 1, on which batch normalisation fails
    assert [len(c) for _, c in batches(65, 64)] == [33, 32]
    assert len(batches(65, 64)) == 2


def test_each_pass_is_a_new_order_and_the_same_seed_gives_the_same_passes():
    loader, again = batches(50, 50), batches(50, 50)
    first, second = (next(iter(loader))[1].tolist() for _ in range(2))
    assert first != second
    assert [next(iter(again))[1].tolist() for _ in range(2)] == [first, second]
    assert next(iter(batches(50, 50, seed=1)))[1].tolist() != first


def test_the_validation_part_comes_in_order_and_may_be_missing():
    part = Part(np.arange(6, dtype=np.float32)[:, None], np.array([0, 1, 0, 1, 0, 1]), np.arange(6))
    assert PartsDataModule(part, None, 2, 0).val_dataloader() == []
    batches_in_order = PartsDataModule(part, part, 2, 0).val_dataloader()
    assert [codes.tolist() for _, codes in batches_in_order] == [[0, 1, 0, 1, 0, 1]]
