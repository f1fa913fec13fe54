from conftest import ROOT
from small_records import write_boxes

from tfod.config import fit, pipeline

BASE = ROOT / "scripts/configs/demo.config"


def make_recipe(**wanted):
    return fit.Recipe(**{
        "base": str(BASE), "label_map": "map", "train_record": "train", "test_record": "test", "num_steps": 9,
        "batch_size": 1, **wanted,
    })  # fmt: skip


def test_the_checkpoint_that_is_asked_for_comes_before_the_bases_own(tmp_path):
    base = pipeline.read_config(BASE)
    base.train_config.fine_tune_checkpoint = "own/ckpt-3"
    recipe = make_recipe(fine_tune_checkpoint="other-1", fine_tune_checkpoint_type="detection")
    assert fit.find_start(recipe, BASE, base) == ("other-1", "detection")


def test_faults_of_what_is_asked_for_are_gathered_and_the_base_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "map").write_text("item { id: 1 name: 'cat' } item { id: 2 name: 'dog' }")
    for name in ("train", "test"):
        write_boxes(tmp_path / name, 1, 1, 1)
    made = fit.fit_config(make_recipe(set=["train_config.a=1", "model.b=2"]))
    assert (made.num_classes, made.images, made.config.model.ssd.num_classes) == (2, 3, 2)
    assert [fault.partition(":")[0] for fault in made.faults] == ["--set train_config.a=1", "--set model.b=2"]
    assert made.base_config == pipeline.read_config(BASE)
