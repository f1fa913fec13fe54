"""tests/upstream/run_upstream.py: it runs upstream's tests for real, and the list of known failures is kept true."""

from tfod.compat import CORRECTIONS

import pytest
import run_upstream

PASSED, SKIPPED = ["passed", 0.1, ""], ["skipped", 0.1, "Skipped: why"]
FAILED, ERROR = ["failed", 0.1, "AssertionError: 1 != 2"], ["error", 0.1, "ModuleNotFoundError: x"]


@pytest.fixture
def known(tmp_path, monkeypatch):
    path = tmp_path / "known_failures.toml"
    path.write_text('[always]\n"m::C::broken" = "why"\n"m::C::other" = "why"\n[sometimes]\n"m::C::flaky" = "why"\n')
    monkeypatch.setattr(run_upstream, "KNOWN_FAILURES", path)


def test_two_files_of_upstream_pass(call):
    done = call("../tests/upstream/run_upstream.py", "--only", "matchers/*")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("18 passed, 2 skipped; 2 files\n  2 skipped: Not a test\nslowest files:\n")
    assert "matchers/argmax_matcher_test.py: 12 passed, 1 skipped" in done.stderr


def test_a_glob_that_matches_nothing_is_refused(call):
    done = call("../tests/upstream/run_upstream.py", "--only", "matcher")
    assert done.returncode == 1
    assert (
        done.stderr
        == "error: --only matcher: no test file of object_detection matches it; give a glob such as core/*\n"
    )
    assert call("../tests/upstream/run_upstream.py", "--jobs", "0").returncode == 2


def test_every_file_that_is_named_is_there():
    paths = run_upstream.find_files(fast=False, only="*")
    assert len(paths) == 134
    assert len(set(paths)) == len(paths)
    assert set(run_upstream.SLOW + run_upstream.WITHOUT_ONEDNN) <= set(paths)
    for pattern in run_upstream.FAST:
        assert any(run_upstream.matches(path, [pattern]) for path in paths), pattern
    assert set(run_upstream.find_files(fast=True, only="*")) < set(paths)


def test_only_known_failures_are_no_fault(known):
    results = {"m::C::fine": PASSED, "m::C::skipped": SKIPPED, "m::C::broken": FAILED, "m::C::other": ERROR}
    assert run_upstream.find_faults(results) == []
    assert run_upstream.find_faults({"m::C::flaky": FAILED}) == []
    assert run_upstream.find_faults({"m::C::flaky": PASSED}) == []


@pytest.mark.parametrize("result", [FAILED, ERROR])
def test_a_new_failure_is_a_fault(known, result):
    (fault,) = run_upstream.find_faults({"m::C::broken": FAILED, "m::C::new": result})
    assert fault == f"m::C::new: {result[0]}\n{result[2]}"


@pytest.mark.parametrize("result", [PASSED, SKIPPED])
def test_a_known_failure_that_passes_is_a_fault(known, result):
    (fault,) = run_upstream.find_faults({"m::C::broken": result})
    assert fault.startswith(f"m::C::broken: {result[0]}, but known_failures.toml says that it fails")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('last words', flush=True); os.abort()", "ended with -6:\nlast words"),
        ("time.sleep(60)", "took more than 5 seconds"),
    ],
)
def test_a_file_that_crashes_or_hangs_is_an_error(tmp_path, monkeypatch, code, reason):
    (tmp_path / "run_file.py").write_text(f"import os, time\n{code}\n")
    monkeypatch.setattr(run_upstream, "UPSTREAM", tmp_path)
    results, seconds = run_upstream.run_file("core/x_test.py", tmp_path, timeout=5)
    assert results == {"object_detection.core.x_test": ["error", seconds, reason]}


def test_the_fast_part_has_the_tests_of_all_that_is_corrected():
    files = run_upstream.find_files(fast=False, only="*")
    fast = set(run_upstream.find_files(fast=True, only="*"))
    paths = [name.removeprefix("object_detection.").replace(".", "/") for name in CORRECTIONS]
    theirs = {file for file in files for path in paths if file in (f"{path}_test.py", f"{path}_tf2_test.py")}
    assert len(theirs) >= 8
    assert theirs <= fast
