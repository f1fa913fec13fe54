import shutil
import sys
import tarfile

import pytest
from conftest import load_script, run_script
from makefile import record_make

EXPORT = "exported_models/my_model"


@pytest.fixture
def workspace(tflite_files, tmp_path):
    """A copy of `tflite_files`' workspace that a test may change."""
    return shutil.copytree(tflite_files[0], tmp_path / "workspace", symlinks=True)


@pytest.fixture
def make_bundle(workspace, monkeypatch, capsys):
    """`make_bundle(*words)` runs bundle.py in this process: (exit code or the faults, output, what was said)."""
    monkeypatch.chdir(workspace)
    script = load_script("bundle.py")

    def make_bundle(*words):
        monkeypatch.setattr(sys, "argv", ["bundle.py", f"--export={EXPORT}", *words])
        code = 0
        try:
            script.main()
        except script.InputError as error:
            code = str(error)
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return make_bundle


def list_bundle(workspace):
    with tarfile.open(workspace / EXPORT / "bundle.tar.gz") as archive:
        return {info.name: info for info in archive}


def test_the_bundle_holds_model_runner_and_photos(workspace):
    output, _ = run_script("bundle.py", f"--export={EXPORT}", "--photos=5", cwd=workspace)
    assert output.startswith(f"{EXPORT}/bundle.tar.gz: ")
    assert "with model_int8.tflite and 5 photos" in output
    there = list_bundle(workspace)
    photos = [name for name in there if name.startswith("detector/photos/")]
    others = {f"detector/{name}" for name in ("detect.py", "requirements.txt", "labels.txt", "model_int8.tflite")}
    assert set(there) == {*others, *photos}
    assert len(photos) == 5
    assert there["detector/detect.py"].mode == 0o755
    assert {info.uid for info in there.values()} == {0}
    shutil.unpack_archive(workspace / EXPORT / "bundle.tar.gz", workspace / "there", filter="data")
    assert (workspace / "there/detector/labels.txt").read_text() == "cat\ndog\n"
    for name in ("detect.py", "model_int8.tflite"):
        packed = (workspace / "there/detector" / name).read_bytes()
        assert packed == (workspace / EXPORT / "tflite" / name).read_bytes()
    originals = {path.read_bytes() for path in (workspace / "images").glob("*.jpg")}
    assert {path.read_bytes() for path in (workspace / "there/detector/photos").iterdir()} < originals


def test_it_is_made_once_and_again_after_a_change(workspace, make_bundle):
    assert make_bundle("--format=float16")[0] == 0
    assert make_bundle("--format=float16") == (0, "", f"{EXPORT}/bundle.tar.gz is up to date\n")
    model = workspace / EXPORT / "tflite/model_float32.tflite"
    shutil.copy(model, workspace / EXPORT / "tflite/model_float16.tflite")
    assert make_bundle("--format=float16")[0] == 0
    assert list_bundle(workspace)["detector/model_float16.tflite"].size == model.stat().st_size
    assert "12 photos" in make_bundle("--photos=99")[1]


def test_a_file_of_a_person_stays(workspace, make_bundle):
    bundle = workspace / EXPORT / "bundle.tar.gz"
    bundle.write_bytes(b"mine")
    said = make_bundle()[0]
    assert "bundle.tar.gz: is not what this script left there, and would be lost; move it away, or rename it" in said
    assert bundle.read_bytes() == b"mine"


def test_what_is_missing_is_named(workspace, make_bundle):
    (workspace / EXPORT / "tflite/model_int8.tflite").unlink()
    assert make_bundle()[0] == f"{EXPORT}/tflite/model_int8.tflite: is not there; `make tflite` makes it"
    (workspace / "annotations/test.record").unlink()
    said = make_bundle("--format=float32")[0]
    assert f"{EXPORT}/pipeline.config: its test records are not there, seen from {workspace}; `make tfrecord`" in said
    assert not (workspace / EXPORT / "bundle.tar.gz").exists()
    code, _, said = make_bundle("--photos=0")
    assert code == 2 and "--photos is 0; give 1 or more" in said


def test_photos_have_plain_names_and_are_spread(workspace, monkeypatch):
    from tfod.data.samples import Source
    from tfod.export import bundle

    monkeypatch.chdir(workspace)
    source = bundle.find_test_records(EXPORT)
    odd = ["../../etc/passwd.jpg", "-o x;$(id).png", "猫" * 200 + ".jpg", "\n.jpg"]
    renamed = [sample._replace(name=name) for sample, name in zip(source.read(), odd, strict=False)]
    named = Source(source.names, 4, source.data, source.files, lambda: iter(renamed))
    names = [name for name, _ in bundle.read_photos(named)]
    assert names == ["0001_passwd.jpg", "0002_-o_x___id_.jpg", f"0003_{'猫' * 60}.jpg", "0004__.jpg"]
    assert [name for name, _ in bundle.read_photos(named, 2)] == [names[0], names[2]]
    assert len(list(bundle.read_photos(named, 20))) == 4


def test_make_names_the_export_and_the_format(tmp_path):
    (tmp_path / "fruit/exported_models/mine/saved_model").mkdir(parents=True)
    variables = [f"WORKSPACE={tmp_path}/fruit", "MODEL=mine", "FORMAT=float32"]
    (call,) = [call for call in record_make(tmp_path, "bundle", *variables) if call[1].endswith("bundle.py")]
    assert call == [f"{tmp_path}/fruit", call[1], "--export", "exported_models/mine", "--format", "float32"]


def test_a_new_export_takes_the_bundle_with_it():
    from tfod.export.saved_model import MADE_OF_IT

    assert load_script("bundle.py").MAKER in MADE_OF_IT
