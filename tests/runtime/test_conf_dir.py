from made_up import ROOT

from beyondlinear.runtime.conf_dir import choices_of_groups, conf_dir, is_old_name


def test_a_clone_reads_its_own_conf():
    assert conf_dir() == ROOT / "conf"


def test_choices_without_bases_and_old_names(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# A net.\nname: mine\n")
    (tmp_path / "model" / "_base.yaml").write_text("# A base.\n")
    (tmp_path / "model" / "older.yaml").write_text("# The old name of mine.\ndefaults: [mine]\n")
    (tmp_path / "hydra").mkdir()
    (tmp_path / "hydra" / "x.yaml").write_text("# Hydra's own.\n")
    assert is_old_name(tmp_path / "model" / "older.yaml")
    assert choices_of_groups([tmp_path]) == {"model": ["mine"]}


def test_choices_of_two_folders_lie_side_by_side(tmp_path):
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "mine.yaml").write_text("# Mine.\nname: mine\n")
    names = choices_of_groups([conf_dir(), tmp_path])["split"]
    assert names == ["column", "donor", "group", "mine", "pretrain", "sample", "study"]
