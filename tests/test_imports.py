"""The stages of the work know those before them, and no script knows another."""

import ast

from conftest import ROOT

ORDER = ["utils", "compat", "data", "model", "config", "export", "inference", "evaluation", "training", "report"]
ORDER += ["detector"]  # the public face


def list_imported(path):
    """The modules that a file imports anywhere, as `tfod.data.voc`; of `from tfod import x`, tfod.x."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_package_imports_one_that_comes_after_it():
    package = ROOT / "scripts" / "tfod"
    faults, seen = [], set()
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).parts[0].removesuffix(".py")
        for name in list_imported(path):
            if place != "__init__" and name.startswith("tfod."):
                stage = name.split(".")[1]
                seen.add((place, stage))
                if ORDER.index(stage) > ORDER.index(place):
                    faults.append(f"{path.relative_to(ROOT)} imports {name}")
    assert faults == []
    assert ("detector", "inference") in seen and ("report", "evaluation") in seen


def test_no_script_imports_another():
    scripts = sorted((ROOT / "scripts").glob("*.py")) + sorted((ROOT / "scripts/preprocessing").glob("*.py"))
    names = {path.stem for path in scripts}
    assert {"model_main_tf2", "generate_tfrecord"} <= names
    for path in scripts:
        assert not names & {name.split(".")[0] for name in list_imported(path)}, path
