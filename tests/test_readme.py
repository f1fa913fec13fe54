"""What README.md says about all scripts and make's variables, and where the links of all pages lead."""

import re
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT
from makefile import make_clone, record_make

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "workspace/training_demo/README.md"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = README.partition("## The scripts")[2].partition("\n## ")[0]
SCRIPTS = re.findall(r"`((?:scripts/)?[\w/]+\.py)`(?=[^|]*\|[^|]*\|$)", TABLE, re.MULTILINE)

# all in one process, since each would take a third of a second to start
ASK = """
import contextlib, io, runpy, sys
for script in sys.argv[1:]:
    for word, code in (("--help", 0), ("--no_such_flag", 2)):
        sys.argv, sys.path[0] = [script, word], script.rpartition("/")[0]
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            ended = end.code
        assert ended == code, f"{script} {word} ended with {ended}: {said.getvalue()}"
        assert "usage: " in said.getvalue(), f"{script} {word}: {said.getvalue()}"
    assert "tensorflow" not in sys.modules, f"{script} imports TensorFlow"
"""


def test_every_script_is_in_the_table_answers_help_at_once_and_refuses_what_it_does_not_know():
    there = {path for folder in (ROOT / "scripts", ROOT / "scripts/preprocessing") for path in folder.glob("*.py")}
    there = {path for path in there if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")}
    named = {ROOT / "scripts" / name.removeprefix("scripts/") for name in SCRIPTS}
    # what the labelling tool's own environment runs
    assert there - named <= {ROOT / "scripts/start_labelimg.py"}
    done = subprocess.run([sys.executable, "-c", ASK, *map(str, sorted(named))], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        ("train STEPS=5000 BATCH=16", ["--num_steps 5000", "--batch_size 16"]),
        ("train EVAL_EVERY=500 PATIENCE=5", ["--eval_every_n=500 --patience=5"]),
        ("train AUGMENT=strong EMA=0.999", ["--augment strong", "--ema 0.999"]),
        ("split tfrecord RATIO=0.2 FRESH=1", ["-r 0.2", "--fresh"]),
        (r"split GROUP='^(.+)_\d+$' VAL=0.1", [r"--val 0.1 --group=^(.+)_\d+$"]),
        ("train PRETRAINED=", ["--base ROOT/scripts/configs/ssd_mobilenet_v2_fpnlite_320.config"]),
        ("train BASE_CONFIG=a.config PRETRAINED=", ["--base ROOT/a.config"]),
        ('train SET="train_config.gradient_clipping_by_norm=10"', ["--set train_config.gradient_clipping_by_norm=10"]),
        ('compare MODELS="my_model other"', ["compare.py --seed 42 -- my_model other"]),
        ("infer SCORE=0.3", ["--score 0.3"]),
        ("import FROM=export.zip", ["import_dataset.py -o images -- ROOT/export.zip"]),
        ("prelabel", ["-i images -o prelabel --save voc --unlabelled"]),
        ("label LABEL_IMAGES=prelabel/voc", ["--image_dir=prelabel/voc"]),
        ("eval CHECKPOINT=best", ["--checkpoint best"]),
        ("config FORCE=1", ["--force"]),
        ('models ZOO_FILTER="--tflite --max-ms 50"', ["list_models.py --tflite --max-ms 50"]),
    ],
)
def test_variables_reach_the_scripts(tmp_path, words, commands):
    variables = [f"WORKSPACE={tmp_path}", f"LABEL_VENV={tmp_path / 'venv'}"]
    said = "\n".join(" ".join(call[1:]) for call in record_make(tmp_path, *shlex.split(words), *variables))
    for command in commands:
        assert command.replace("ROOT", str(ROOT)) in said


def test_the_raccoons_come_from_a_folder(tmp_path):
    clone = make_clone(tmp_path / "clone")
    (clone / "workspace/raccoon").mkdir(parents=True)
    call = record_make(tmp_path, "raccoon", "DATA=there", clone=clone)[0]
    assert call[1:] == ["scripts/preprocessing/fetch_raccoon.py", "-o", "workspace/raccoon/images", "--data=there"]


def read_prose(path):
    """The Markdown file's text without its blocks of code."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def list_anchors(path):
    """The anchors that GitHub gives the headings of a Markdown file."""
    titles = re.findall(r"^#+ (.+)", read_prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def list_links(path):
    """(file, anchor or "") of each relative link and picture of a Markdown file."""
    links = re.findall(r"\]\(([^)\s]+)\)", read_prose(path))
    for file, _, anchor in (link.partition("#") for link in links if "://" not in link):
        yield path.parent / file if file else path, anchor


def find_dead_links(path):
    for file, anchor in list_links(path):
        if not file.exists():
            yield f"{path.name}: {file.name} does not exist"
        elif anchor and anchor not in list_anchors(file):
            yield f"{path.name}: {file.name} has no heading #{anchor}"


def test_every_relative_link_leads_somewhere():
    assert [fault for path in PAGES for fault in find_dead_links(path)] == []


def test_dead_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# `A` title, 1\n[a](#a-title-1) [b](#b) ![c](c.jpg)\n```\n# B\n[d](d.md)\n```\n[e](https://e.org/e)"
    )
    assert list(find_dead_links(page)) == ["page.md: page.md has no heading #b", "page.md: c.jpg does not exist"]


def test_every_page_is_linked_from_the_readme():
    """README.md links the English pages, README.zh-CN.md the Chinese one where there is one."""
    chinese = {path.with_name(path.name.replace(".zh-CN", "")): path for path in PAGES if ".zh-CN" in path.name}
    english = set(PAGES) - set(chinese.values())
    for readme, pages in (("README.md", english), ("README.zh-CN.md", {chinese.get(path, path) for path in english})):
        assert pages - {file for file, _ in list_links(ROOT / readme)} == {ROOT / readme}


def test_both_languages_of_a_page_link_each_other():
    chinese = [path for path in PAGES if ".zh-CN" in path.name]
    assert len(chinese) > 1
    for page in chinese:
        other = page.with_name(page.name.replace(".zh-CN", ""))
        assert (other, "") in list_links(page)
        assert (page, "") in list_links(other)


def read_parts(path):
    """What both languages of a page have alike: levels of headings, commands without their comments, code in tables."""
    text = path.read_text(encoding="utf-8")
    code = [
        re.sub(r" +# .*", "", line) for block in re.findall(r"(?ms)^```.*?^```", text) for line in block.split("\n")
    ]
    rows = [sorted(re.findall(r"`[^`]+`", line)) for line in text.split("\n") if line.startswith("|")]
    return re.findall(r"^#+(?= )", read_prose(path), re.MULTILINE), code, rows


@pytest.mark.parametrize("page", [path.name for path in PAGES if ".zh-CN" in path.name])
def test_both_languages_say_the_same(page):
    (chinese,) = (path for path in PAGES if path.name == page)
    english = chinese.with_name(page.replace(".zh-CN", ""))
    for ours, others in zip(read_parts(chinese), read_parts(english), strict=True):
        assert ours == others


def test_tests_that_pages_name_exist():
    tests = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"`(test_\w+)`", text)) - tests <= {"test_x"}
        assert [name for name in re.findall(r"\btests/[\w/]+\.\w+", text) if not (ROOT / name).is_file()] == []
