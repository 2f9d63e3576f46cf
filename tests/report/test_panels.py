"""Panels and learners are named by what varies between fits."""

from made_up_reports import fits

from beyondlinear.report.panels import with_panels


def table(**columns):
    names = {"dataset": "data", "task": "label", "split": "group", "protocol": "sound"}
    names |= {"tuning": "none", "variant": "", "pretrained": None}
    made = fits(**columns).drop(columns=["panel", "learner"])
    for column, value in names.items():
        if column not in made:
            made[column] = value
    return made.assign(key=[f"k{i}" for i in range(len(made))])


def named(made) -> list[tuple[str, str]]:
    records = {key: {"data": {"classes": ["a", "b"]}} for key in made.key}
    found = with_panels(made, records)
    return list(zip(found.panel, found.learner, strict=True))


def test_what_is_the_same_in_all_is_not_named():
    assert named(table(model=["net", "forest"])) == [("data", "net"), ("data", "forest")]


def test_protocols_and_tuning_make_other_learners():
    made = table(model=["net", "net"], protocol=["sound", "paper"], tuning=["none", "random"])
    assert named(made) == [
        ("data", "net, protocol sound"),
        ("data", "net, protocol paper, tuning random"),
    ]


def test_settings_of_the_data_make_panels_and_others_make_learners():
    made = table(
        model=["net", "net"],
        variant=["dataset.n_genes=50, model.lr=0.1", "dataset.n_genes=100, model.lr=0.2"],
    )
    # each panel has one lr, so that it tells no learners apart
    assert named(made) == [
        ("data, dataset.n_genes=50", "net"),
        ("data, dataset.n_genes=100", "net"),
    ]
    made = table(model=["net", "net"], variant=["model.lr=0.1", "model.lr=0.2"])
    assert named(made) == [("data", "net, model.lr=0.1"), ("data", "net, model.lr=0.2")]


def test_no_fits():
    empty = with_panels(table(model=["net"]).iloc[:0], {})
    assert {"panel", "learner"} <= set(empty.columns)
