import numpy as np

from beyondlinear.runtime.seeds import stream, stream_seed


def test_a_stream_depends_on_seed_name_and_keys_only():
    assert (
        stream(0, "folds").integers(1000, size=3).tolist()
        == stream(0, "folds").integers(1000, size=3).tolist()
    )
    draws = {
        tuple(stream(seed, name, *keys).integers(2**40, size=2))
        for seed in (0, 1)
        for name in ("folds", "validation")
        for keys in ((), (0,), (1,), (0, 0.5), (0.5, 0))
    }
    assert len(draws) == 20


def test_drawing_from_one_stream_leaves_the_others_alone():
    before = stream(3, "validation", 1).random()
    stream(3, "folds").random(1000)
    np.random.default_rng(3).random(1000)
    assert stream(3, "validation", 1).random() == before


def test_whole_number_and_float_keys_are_different_streams():
    assert stream_seed(0, "validation", 1) != stream_seed(0, "validation", 1.0)


def test_streams_are_the_same_on_every_machine_and_day():
    # literal values: a change here changes every result, and must raise results.NUMERICS_VERSION
    assert stream(0, "folds").integers(10, size=5).tolist() == [3, 0, 5, 1, 3]
    assert stream_seed(0, "initialisation", 0, 1.0) == 3853607748207236475
