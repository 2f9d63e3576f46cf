from matplotlib.figure import Figure

from beyondlinear.records.trackers.figure import draw_run


def record(fraction: float, accuracy: float, pretrained: bool | None = None) -> dict:
    return {
        "status": "done",
        "names": {"dataset": "d", "model": "m", "signal_removal": "none"},
        "fraction": fraction,
        "pretrained": pretrained,
        "counts": {"n_outer_train": round(100 * fraction), "n_classes": 4},
        "metrics": {"balanced_accuracy": accuracy},
    }


def lines_of(monkeypatch, records: list[dict]) -> dict[str, list]:
    """The points of each labelled line of the figure."""
    drawn = {}
    save = Figure.savefig

    def keep(figure, *arguments, **more):
        for line in figure.axes[0].lines:
            drawn[str(line.get_label())] = [*zip(*map(list, line.get_data()), strict=True)]
        return save(figure, *arguments, **more)

    monkeypatch.setattr(Figure, "savefig", keep)
    assert draw_run(records).startswith(b"\x89PNG")
    return drawn


def test_the_mean_of_each_fraction_and_the_naive_baseline(monkeypatch):
    records = [record(0.5, 0.25), record(0.5, 0.75), record(1.0, 1.0), {"status": "failed"}]
    lines = lines_of(monkeypatch, records)
    assert lines["mean"] == [(50, 0.5), (100, 1)]
    assert [y for _, y in lines["naive"]] == [0.25, 0.25]


def test_pretrained_or_not_are_two_lines(monkeypatch):
    lines = lines_of(monkeypatch, [record(1.0, 0.5, False), record(1.0, 0.75, True)])
    assert lines["mean, not pretrained"] == [(100, 0.5)]
    assert lines["mean, pretrained"] == [(100, 0.75)]
    assert "mean" not in lines


def test_no_figure_where_no_fit_is_done():
    assert draw_run([{"status": "skipped"}]) is None
