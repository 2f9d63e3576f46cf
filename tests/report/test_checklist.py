"""The checklist answers what the records hold, and leaves the rest open."""

from beyondlinear.report.checklist import checklist


def test_the_checklist_answers_what_the_records_hold(gathered):
    items = {item.question: item for item in checklist(gathered)}
    baseline = items["Is there a baseline that is really optimised?"]
    assert (baseline.answer, baseline.stands) == ("a certified linear optimum", True)
    missing = items["Is any result missing?"]
    assert (missing.answer, missing.stands) == ("0 of 60 fits have no result", True)
    assert not items["Is there an external test set?"].stands
    assert items["Which code?"].answer == "commit abc"
