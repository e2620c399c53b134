import multiprocessing
from collections import deque

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from vqgen.batch import RawImages
from vqgen.data.loading.loader import Loader
from vqgen.data.loading.order import SequentialOrder, ShuffledOrder
from vqgen.errors import DataError

N, BATCH = 22, 4  # 5 batches an epoch


def fetch(indices, epoch, new=np.empty):
    """Images that show their index."""
    x = new((len(indices), 3, 2, 2), np.uint8)
    x[...] = indices[:, None, None, None]
    return RawImages(torch.from_numpy(x), {}, torch.from_numpy(indices))


def loader(num_workers=0, batch_size=BATCH, clock=None):
    return Loader(fetch, ShuffledOrder(N, batch_size, seed=1), num_workers, clock)


def epochs(batches, *numbers):
    result = []
    for epoch in numbers:
        batches.set_epoch(epoch)
        result.append([batch.index.tolist() for batch in batches])
    return result


def test_the_order_is_the_same_for_any_number_of_workers():
    expected = epochs(loader(), 0, 1, 2)
    assert epochs(loader(num_workers=1), 0, 1, 2) == expected
    assert epochs(loader(num_workers=2), 0, 1, 2) == expected
    assert expected[0] != expected[1]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_starts_at_any_batch_of_any_epoch(num_workers):
    _, whole = epochs(loader(), 0, 1)
    for start in range(6):
        source, target = loader(num_workers), loader(num_workers)
        source.set_epoch(1)
        list(zip(range(start), source, strict=False))
        target.load_state_dict(source.state_dict())
        target.set_epoch(1)
        assert [batch.index.tolist() for batch in target] == whole[start:]
        assert [batch.index.tolist() for batch in target] == whole


def test_the_state_counts_batches_handed_out_and_not_those_read_ahead():
    batches = loader(num_workers=2)
    iterator = iter(batches)
    next(iterator), next(iterator)
    assert batches.state_dict() == {"epoch": 0, "batch": 2, "length": len(batches), "global_batch_size": BATCH}


@pytest.mark.parametrize("keep", [0, 1, 20])
def test_batches_stay_as_they_are_however_long_they_are_held(keep):
    batches = loader(num_workers=2)
    held = deque(maxlen=keep)
    for epoch in range(4):
        batches.set_epoch(epoch)
        for batch in batches:
            held.append(batch)
            assert all((batch.pixels == batch.index[:, None, None, None]).all() for batch in held)
            del batch
        next(iter(batches))  # given up inside the epoch


def test_shared_memory_that_is_too_small_is_an_error_of_one_line(monkeypatch):
    def refuse(self):
        raise RuntimeError("unable to allocate shared memory(shm)\nfor file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    with pytest.raises(DataError, match=r"7 batches in shared memory need 336B.*data\.num_workers") as caught:
        next(iter(loader(num_workers=2)))
    assert "\n" not in str(caught.value)


def test_workers_end_by_themselves_when_a_loader_is_given_up_inside_an_epoch():
    before = set(multiprocessing.active_children())
    iterator = iter(loader(num_workers=2))
    next(iterator)
    workers = [*set(multiprocessing.active_children()) - before]
    del iterator
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0, 0]  # not killed, as who does not hear of it is


def test_resuming_inside_an_epoch_with_another_batch_size_is_an_error():
    state = {"epoch": 0, "batch": 2, "global_batch_size": BATCH}
    with pytest.raises(DataError, match=r"4 images a step .* would go on with 5"):
        loader(batch_size=5).load_state_dict(state)
    loader(batch_size=5).load_state_dict({**state, "batch": 5})  # at the epoch's end nothing is lost


def test_a_run_that_ended_an_epoch_goes_on_with_smaller_batches():
    source, target = loader(), loader(batch_size=1)
    list(source)
    target.load_state_dict(source.state_dict())
    assert list(target) == []  # nothing is left of that epoch
    target.set_epoch(1)
    assert len(list(target)) == len(target) > len(source)


def test_a_loader_of_the_same_batches_has_those_of_the_first_epoch_in_every_one():
    (first,) = epochs(loader(), 0)
    same = Loader(fetch, ShuffledOrder(N, BATCH, seed=1), same=True)
    assert epochs(same, 0, 1, 5) == [first] * 3


class Recorder(pl.LightningModule):
    """Trains a weight with momentum on the indices, and records them."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append((self.current_epoch, batch_idx, batch.index.tolist()))
        return (self.weight - batch.pixels.float().mean()).square()

    def validation_step(self, batch, batch_idx):
        self.log("loss", batch.pixels.float().sum())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


class KeepAll(pl.Callback):
    """A checkpoint after every step, after every validation, and at every epoch's end."""

    def __init__(self, folder):
        self.folder, self.saved = folder, []

    def save(self, trainer, moment, module):
        path = self.folder / f"{len(self.saved)}-{moment}.ckpt"
        trainer.save_checkpoint(path)
        self.saved.append((path, len(module.seen)))

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.save(trainer, "batch", module)

    def on_validation_end(self, trainer, module):
        if not trainer.sanity_checking:
            self.save(trainer, "validation", module)

    def on_train_epoch_end(self, trainer, module):
        self.save(trainer, "epoch", module)


def fit(module, callbacks=(), ckpt_path=None, num_workers=0, **limits):
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=list(callbacks),
        **limits,
    )
    training = loader(num_workers, clock=lambda: module.current_epoch)
    validation = Loader(fetch, SequentialOrder(N, BATCH))
    trainer.fit(module, training, validation, ckpt_path=ckpt_path, weights_only=True)
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "limits",
    [
        {"max_epochs": 3},
        {"max_epochs": -1, "max_steps": 13},
        {"max_epochs": 3, "limit_train_batches": 3},
        {"max_epochs": 3, "val_check_interval": 2},
        {"max_epochs": 4, "check_val_every_n_epoch": 2},
    ],
)
def test_a_resumed_run_sees_exactly_the_batches_that_were_left(tmp_path, limits):
    keep = KeepAll(tmp_path)
    whole = fit(Recorder(), [keep], **limits)
    orders = epochs(loader(), *range(5))
    assert [batch for *_, batch in whole.seen] == [orders[epoch][k] for epoch, k, _ in whole.seen]
    for path, seen in keep.saved:
        resumed = fit(Recorder(), ckpt_path=path, **limits)
        assert resumed.seen == whole.seen[seen:], path.name
        assert torch.equal(resumed.weight, whole.weight), path.name


@pytest.mark.filterwarnings("ignore")
def test_resuming_with_workers_is_exact(tmp_path):
    keep = KeepAll(tmp_path)
    whole = fit(Recorder(), [keep], num_workers=2, max_epochs=2)
    assert not multiprocessing.active_children()
    path, seen = keep.saved[2]
    assert fit(Recorder(), ckpt_path=path, num_workers=2, max_epochs=2).seen == whole.seen[seen:]
    assert np.array_equal([k for _, k, _ in whole.seen], [*range(5), *range(5)])
