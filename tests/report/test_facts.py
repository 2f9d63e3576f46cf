"""Tables of what was done."""

from beyondlinear.report import facts


def test_one_row_a_data_set(gathered):
    (row,) = facts.data(gathered).to_dict("records")
    assert (row["samples"], row["groups"], row["genes"], row["classes"]) == (200, 100, 50, 2)
    assert row["dropped"] == "none"


def test_settings_with_the_values_that_occur(gathered):
    table = facts.protocol(gathered).set_index("key").value
    assert table["split.group"] == "donor"
    assert table["split.validation_share"] == "0.2"
    assert table["seed"] == "0"


def test_findings_are_counted_the_gravest_first(gathered):
    note = {"severity": "note", "check": "classes", "evidence": "few"}
    leak = {"severity": "leak", "check": "groups", "evidence": "donor d1"}
    keys = list(gathered.done.key)
    gathered.records[keys[0]] = {**gathered.records[keys[0]], "audit": [note, leak]}
    gathered.records[keys[1]] = {**gathered.records[keys[1]], "audit": [leak]}
    table = facts.audit(gathered)
    assert table.severity.tolist()[0] == "leak"
    assert table[table.severity == "leak"].fits.sum() == 2
    assert "A leak was found in 2 of them." in facts.audit_line(gathered)


def test_versions_are_counted(gathered):
    table = facts.versions(gathered).set_index("what")
    assert table.loc["beyondlinear"].tolist() == ["0.1.0", 60]
    assert table.loc["commit"].tolist() == ["abc", 60]


def test_no_groups_no_confounding(gathered):
    assert facts.confounding(gathered).empty
