def test_this_environment_is_healthy(call):
    done = call("doctor.py")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) == 12
    assert all(line.endswith("  ok") for line in lines)
    assert "one COCO evaluation    mAP 1.000  ok" in lines


def test_broken_part_is_named_with_what_to_do(call, tmp_path, monkeypatch):
    # a pycocotools that another numpy built, as the tutorial warns of, fails at import like this
    (tmp_path / "pycocotools").mkdir()
    (tmp_path / "pycocotools/__init__.py").write_text("raise ValueError('numpy.ndarray size changed')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = call("doctor.py")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("pycocotools")]
    assert "ValueError: numpy.ndarray size changed; `make clean-venv install` makes the environment again" in line
