"""The tutorial's own photos, from split to records: without an error, and the same wherever and by whomever."""

import shutil

LABELS = "item {\n    id: 1\n    name: 'raccoon'\n}\n"


def make_data(call, room, raccoon_images, workers):
    """Splits and packs the photos in the folder `room`: a dict of the files that came of it -> their bytes."""
    shutil.copytree(raccoon_images, room / "images")
    (room / "map.pbtxt").write_text(LABELS)
    steps = [
        ("partition_dataset.py", "-x", "-i", "images", "-r", "0.1"),
        ("check_dataset.py", "-i", "images", "-l", "map.pbtxt", "--num_workers", workers),
    ]
    for side in ("train", "test"):
        outputs = ("-o", f"out/{side}.record", "-c", f"out/{side}.csv", "--num_workers", workers)
        steps.append(("generate_tfrecord.py", "-x", f"images/{side}", "-l", "map.pbtxt", *outputs))
    for script, *arguments in steps:
        done = call(f"preprocessing/{script}", *arguments, cwd=room)
        assert done.returncode == 0, done.stderr
    made = [room / "images/split.json", *(path for path in (room / "out").iterdir() if not path.name.startswith("."))]
    return {path.name: path.read_bytes() for path in made}


def test_two_runs_in_two_folders_give_the_same_split_records_and_csv(call, raccoon_images, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "some where else").mkdir()
    here = make_data(call, tmp_path / "here", raccoon_images, workers=2)
    there = make_data(call, tmp_path / "some where else", raccoon_images, workers=3)
    assert here == there
    assert here.keys() == {"split.json", "train.record", "test.record", "train.csv", "test.csv"}
    assert len(here["test.csv"].splitlines()) > 20
