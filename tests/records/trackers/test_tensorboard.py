import pytest
import yaml

from beyondlinear.records.trackers.subject import LogSubject
from beyondlinear.records.trackers.tensorboard import TensorBoard

pytest.importorskip("tensorboard")


def test_losses_text_and_hyperparameters_of_a_fit(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoard(str(tmp_path)).logger(LogSubject("fold0", tmp_path))
    logger.log_hyperparams({"seed": 3})
    logger.log_metrics({"train_loss": 0.5}, 0)
    logger.log_hyperparams({"status": "done"})
    logger.log_metrics({"final/accuracy": 0.75}, 1)
    logger.log_text("record", "{}")
    logger.save()
    logger.finalize("success")
    assert yaml.safe_load((tmp_path / "fold0" / "hparams.yaml").read_text()) == {
        "seed": 3,
        "status": "done",
    }
    events = EventAccumulator(str(tmp_path / "fold0"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train_loss")] == [(0, 0.5)]
    assert [e.value for e in events.Scalars("final/accuracy")] == [0.75, 0.75]
    text = events.Tensors("record/text_summary")[0].tensor_proto.string_val[0]
    assert text == b"```json\n{}\n```"
