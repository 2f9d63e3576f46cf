"""The paragraph is made of the records."""

from beyondlinear.report.methods import paragraph


def test_the_paragraph_names_models_by_what_they_are(gathered):
    text, cited = paragraph(gathered)
    assert "Samples were split by groups (donor) into 5 outer folds, with 1 random seed" in text
    assert "20% of the training samples (by group)" in text
    assert "Learning curves used 0.5, 1 of the training samples, nested." in text
    assert (
        "Models: mine (a linear model); ridge logistic regression solved to a certified optimum;"
        " a three-layer network." in text
    )
    assert "Hyperparameters were the defaults." in text
    assert "[Heil 2023, Ritchie 2015]" in text
    assert cited[:2] == ["Heil 2023", "Ritchie 2015"]
