from beyondlinear.runtime.renamed import no_such_choice, no_such_key


def test_an_old_key_is_told_its_new_name():
    text = no_such_key("split.tune_share", ["folds", "validation_share"])
    assert text.startswith("split.tune_share: no such key. did you mean 'split.validation_share'?")


def test_another_key_is_told_the_closest_one():
    text = no_such_key("split.fold", ["folds", "fractions"])
    assert text == "split.fold: no such key. did you mean 'folds'? Allowed: folds, fractions"


def test_an_old_value_is_told_its_new_name():
    text = no_such_choice("protocol.fit_on", "fit", ["all", "train"])
    assert "did you mean 'protocol.fit_on=train'" in text
    text = no_such_choice("scale", "minmaxx", ["minmax", "none"])
    assert text == "scale=minmaxx: no such choice. did you mean 'minmax'? Allowed: minmax, none"
