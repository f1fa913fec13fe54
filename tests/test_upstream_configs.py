"""configure_pipeline.py on the configs that upstream trained its TensorFlow 2 models with, as --base and as --check."""

from pathlib import Path

import pytest
from small_records import write_boxes

import configure_pipeline
from tfod.config import checks, pipeline

SHARED = Path(__file__).resolve().parents[2] / "shared/zoo"
CONFIGS = sorted([*SHARED.glob("configs_tf2/*.config"), *SHARED.glob("*/pipeline.config")])
PLACEHOLDERS = 5  # label map and records of both readers, checkpoint
ONE_VALUE = ("data_augmentation_options", "parameterized_metric")  # lists whose entries are printed as one value each
pytestmark = pytest.mark.skipif(
    not CONFIGS, reason="upstream's configs are not beside the repository, in ../shared/zoo"
)


def list_differences(one, other, path=""):
    """The dotted names of the fields in which two messages of a type differ. None stands for one that is not there."""
    found = []
    for field in (one or other).DESCRIPTOR.fields:
        name = f"{path}.{field.name}".lstrip(".")
        sides = [getattr(side, field.name) if side is not None else None for side in (one, other)]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            maps = [dict(side or {}) for side in sides]
            found += [f"{name}[{key}]" for key in maps[0] | maps[1] if maps[0].get(key) != maps[1].get(key)]
        elif field.is_repeated:
            for index in range(max(len(side or ()) for side in sides)):
                pair = [side[index] if index < len(side or ()) else None for side in sides]
                if pair[0] == pair[1]:
                    continue
                if field.message_type is None or field.name in ONE_VALUE:
                    found.append(f"{name}[{index}]")
                else:
                    found += list_differences(*pair, f"{name}[{index}]")
        elif field.message_type is not None:
            there = [getattr(side, field.name) if side and side.HasField(field.name) else None for side in (one, other)]
            if there != [None, None] and there[0] != there[1]:
                inner = list_differences(*there, name)
                found += inner or ([name] if None in there else [])
        elif None in (one, other):
            if (one or other).HasField(field.name):
                found.append(name)
        elif sides[0] != sides[1]:
            found.append(name)
    return found


@pytest.mark.parametrize("base", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_is_lost_but_what_is_printed(base, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/label_map.pbtxt").write_text("item { id: 1 name: 'cat' } item { id: 2 name: 'dog' }")
    for name in ("train", "test"):
        write_boxes(tmp_path / f"annotations/{name}.record", *[1] * 8)
    monkeypatch.setattr("sys.argv", ["configure_pipeline.py", "--base", str(base), "-o", "m/pipeline.config"])
    configure_pipeline.main()
    before, after = pipeline.read_config(base), pipeline.read_config("m/pipeline.config")
    output = capsys.readouterr().out.splitlines()
    printed = [line.strip().partition(": ")[0] for line in output[1:-1]]
    assert sorted(printed) == sorted(list_differences(before, after))
    assert f"  {pipeline.list_changes(before, after)[0]}" == output[1]
    faults, warnings = checks.check_config(after, "m", "training", "evaluation")
    assert faults == []
    if base.parent.name == "configs_tf2":
        assert warnings == []
    pipeline.write_config("again.config", before)
    assert pipeline.read_config("again.config") == before


@pytest.mark.parametrize("base", [path for path in CONFIGS if path.parent.name == "configs_tf2"], ids=lambda p: p.stem)
def test_only_what_is_to_be_filled_in_is_wrong_with_them(base):
    found = checks.check_config(pipeline.read_config(base), "p", "training", "evaluation")
    others = [fault for fault in found.faults if "PATH_TO_BE" not in fault]  # one of upstream's has PATH_TO_BEE
    assert len(found.faults) - len(others) >= 5  # label map and records of both readers, checkpoint
    assert {fault.partition(" is not")[0] for fault in others} <= {"p: metrics_set coco_mask_metrics"}
    assert found.warnings == []
