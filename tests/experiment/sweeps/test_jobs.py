from hydra.core.utils import JobStatus

from beyondlinear.experiment.sweeps.jobs import SweepRun, job_return, names_of


def test_runs_are_named_by_what_sets_them_apart():
    runs = [SweepRun(3, ["model=a", "seed=0"]), SweepRun(4, ["model=b", "seed=0"])]
    assert names_of(runs) == {3: "model=a", 4: "model=b"}


def test_one_run_alone_keeps_its_overrides():
    assert names_of([SweepRun(0, ["model=a"])]) == {0: "model=a"}
    assert names_of([SweepRun(0, [])]) == {0: "the run"}


def test_a_reason_makes_a_failure():
    assert job_return(["seed=0"], None).status is JobStatus.COMPLETED
    failed = job_return(["seed=0"], "boom")
    assert failed.status is JobStatus.FAILED
    assert str(failed._return_value) == "boom"
