"""Odd names of clones and workspaces, odd values of make's variables, and other people's environment variables.

Each way a value reaches a command is tried with a Python that only notes what it gets: see helpers/makefile.py.
"""

import functools
import os
import re
import shlex
import subprocess
import sys

import pytest
from conftest import label_photo
from makefile import ROOT, make_clone, make_environment, record_make, try_make

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
VARIABLES = re.findall(r"^## .*\n([A-Z_0-9]+) =", MAKEFILE, re.MULTILINE)
LISTS = ["MODELS", "SET", "ZOO_FILTER", "TESTS"]  # of words, which may be quoted
# what has to be a program, a folder that is there, 1 or empty
OTHERS = ["PYTHON", "VENV", "LABEL_VENV", "WEB_VENV", "CUDA", "NAME", "FINE_TUNE_CHECKPOINT"]
# what runs no Python, or removes something
NOT_TRIED = r"help|ready|lock|workspace|docker-.*|clean-.*|.*-there|.*-named"
TARGETS = [name for name in re.findall(r"^([a-z_-]+):", MAKEFILE, re.MULTILINE) if not re.fullmatch(NOT_TRIED, name)]
PLAIN = "plainname"
NAMES = [
    "two words",
    "blank at the end ",
    "it's",
    'a "quote"',
    "`touch canary`",
    "$(touch canary)",
    "$(shell touch canary)",
    "${shell touch canary}",
    "$HOME",
    "$$",
    "a;touch canary",
    "a&touch canary",
    "a|touch canary",
    ">canary",
    "'; touch canary; '",
    '"; touch canary; "',
    "a,$(1)",
    "-rf",
    "-",
    "--help",
    "#hash",
    "*",
    "?",
    "[a]",
    "{a,b}",
    "100%",
    "a=b",
    "a:b",
    "~",
    "~root",
    "back\\slash\\n\\",
    "tab\there",
    "\x1b[31mred",
    "猫と犬",
    "\u202eright to left\u202c",
    "😀",
    "x" * 250,
]


# what a folder may be called at the worst, as far as a file system goes
WORST = """-$(touch canary)`touch canary`$(shell touch canary)$HOME "it's" ;&|> #*?[a]{b}%=,:~ \\n\t\x1b\u202e猫😀"""


def make_all(room, name, *targets):
    """The calls of the targets, in a clone and a workspace that are called `name`, with it as each variable's value."""
    clone = make_clone(room / name)
    for folder in ("annotations", "images/val", f"exported_models/{name}/saved_model"):
        (clone / name / folder).mkdir(parents=True)
    for folder in ("demo", "raccoon"):
        (clone / "workspace" / folder).mkdir(parents=True)
    values = {variable: name for variable in VARIABLES if variable not in OTHERS}
    values |= {variable: shlex.quote(name) for variable in LISTS}
    values |= {"LABEL_VENV": room / "venv", "WEB_VENV": room / "venv"}
    calls = record_make(room, *targets, *(f"{variable}={value}" for variable, value in values.items()), clone=clone)
    assert calls
    assert not list(room.rglob("canary*"))
    return [[word.replace(str(room), "ROOM") for word in call] for call in calls]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """`plain(name, *targets)`: what `make_all` gives for a plain name, with `name` in its place."""

    @functools.cache
    def call_plain(*targets):
        return make_all(tmp_path_factory.mktemp("plain"), PLAIN, *targets)

    return lambda name, *targets: [[word.replace(PLAIN, name) for word in call] for call in call_plain(*targets)]


@pytest.mark.attack
@pytest.mark.parametrize("name", NAMES)
def test_an_odd_name_reaches_the_scripts_as_it_is_and_is_never_run(tmp_path, plain, name):
    assert make_all(tmp_path, name, "split", "config") == plain(name, "split", "config")


@pytest.mark.attack
def test_the_worst_name_reaches_every_script_as_it_is_and_is_never_run(tmp_path, plain):
    calls = make_all(tmp_path, WORST, *TARGETS)
    assert calls == plain(WORST, *TARGETS)
    assert len({call[1] for call in calls}) > 25  # scripts


@pytest.mark.attack
@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_every_odd_name_reaches_every_script_as_it_is_and_is_never_run(tmp_path, plain, name):
    assert make_all(tmp_path, name, *TARGETS) == plain(name, *TARGETS)


@pytest.mark.attack
@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_the_scripts_work_in_a_folder_of_an_odd_name(tmp_path, name):
    clone = make_clone(tmp_path / name)
    for number in range(4):
        label_photo(clone / name / "images", f"{number}.jpg", number)
    words = ["make", "check", "split", "label_map", f"VENV={sys.prefix}", f"WORKSPACE={name}", "RATIO=0.5"]
    done = subprocess.run(words, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((clone / name / "images/train").iterdir())) == 4
    assert (clone / name / "annotations/label_map.pbtxt").exists()
    assert not list(tmp_path.rglob("canary*"))


@pytest.mark.attack
def test_a_checkpoint_of_an_odd_name_is_named_from_the_root(tmp_path):
    [call] = [
        call
        for call in record_make(tmp_path, "config", f"FINE_TUNE_CHECKPOINT={WORST}", f"WORKSPACE={tmp_path}")
        if call[1].endswith("configure_pipeline.py")
    ]
    assert call[call.index("--fine_tune_checkpoint") + 1] == f"{ROOT}/{WORST}"
    assert call[call.index("--base") + 1] == f"{ROOT}/scripts/configs/ssd_mobilenet_v2_fpnlite_320.config"


@pytest.mark.attack
def test_a_tarball_with_blanks_is_unpacked_where_the_config_looks_for_it(tmp_path):
    calls = record_make(tmp_path, "config", "PRETRAINED=/my zoo/a  model.tar.gz", f"WORKSPACE={tmp_path}")
    assert [call[-1] for call in calls if call[1].endswith("download_model.py")] == ["/my zoo/a  model.tar.gz"]
    assert ["--base", "pre_trained_models/a  model"] in [call[2:4] for call in calls]


@pytest.mark.attack
@pytest.mark.parametrize("variable", ["WORKSPACE", "MODEL", "STEPS", "PYTHON"])
@pytest.mark.parametrize("prefix", ["", "TFOD_"])
def test_a_line_break_is_refused_before_anything_runs(tmp_path, variable, prefix):
    text = "a\ntouch canary"
    words, env = ([], {f"TFOD_{variable}": text}) if prefix else ([f"{variable}={text}"], {})
    calls, said = try_make(tmp_path, "split", *words, clone=make_clone(tmp_path / "clone"), env=env, code=2)
    assert calls == []
    assert f"*** error: {variable}: contains a line break; choose a name without one.  Stop." in said
    assert not list(tmp_path.rglob("canary*"))


@pytest.mark.attack
def test_a_clone_whose_name_holds_a_line_break_is_refused(tmp_path):
    calls, said = try_make(tmp_path, "help", clone=make_clone(tmp_path / "a\ntouch canary"), code=2)
    assert calls == []
    assert "error: the folder of this Makefile: contains a line break; choose a name without one" in said
    assert not list(tmp_path.rglob("canary*"))


@pytest.fixture
def workspace(tmp_path):
    """A folder with what all the targets want to be there, as make's variable."""
    (tmp_path / "place/annotations").mkdir(parents=True)
    (tmp_path / "place/exported_models/my_model/saved_model").mkdir(parents=True)
    return f"WORKSPACE={tmp_path / 'place'}"


@pytest.mark.attack
def test_other_programs_environment_variables_are_none_of_makes(tmp_path, workspace):
    needing = (
        "label",
        "import",
        "demo",
        "raccoon",
        "test-zoo",
        "bench-data",
        "device",
        "web",
        "web-serve",
        "bench-web",
    )
    targets = [target for target in TARGETS if target not in needing]
    before = record_make(tmp_path, *targets, workspace)
    names = {name for name in VARIABLES if name != "VENV"} | {"PY", "CONFIG", "EXPORT", "BASE", "SCRIPTS", "VERBS"}
    elsewhere = dict.fromkeys(names, "/some/where/else") | {"CDPATH": str(ROOT), "CHECK": "0", "MAKELEVEL": "0"}
    assert record_make(tmp_path, *targets, workspace, env=elsewhere) == before


@pytest.mark.attack
def test_tfod_variables_of_the_environment_count_and_those_of_the_command_come_before_them(tmp_path, plain):
    given = {variable: PLAIN for variable in VARIABLES if variable not in OTHERS}
    clone = make_clone(tmp_path / PLAIN)
    for folder in (f"{PLAIN}/annotations", f"{PLAIN}/images/val", "workspace/demo"):
        (clone / folder).mkdir(parents=True)
    env = {f"TFOD_{variable}": value for variable, value in given.items()} | {"TFOD_UID": "7", "TFOD_VARIABLES": "x"}
    calls = record_make(tmp_path, "split", "config", clone=clone, env=env)
    wanted = [[word.replace("ROOM", str(tmp_path)) for word in call] for call in plain(PLAIN, "split", "config")]
    assert calls == wanted
    [call] = record_make(tmp_path, "split", "SEED=1", clone=clone, env=env)
    assert call[call.index("--seed") + 1] == "1"
    # make -e asks for all of the environment
    calls, _ = try_make(tmp_path, "-e", "split", "config", clone=clone, env=given)
    assert calls == wanted


@pytest.mark.attack
def test_an_environment_of_another_program_is_not_taken_and_one_of_tfod_venv_is(tmp_path):
    """VENV is what other projects' instructions let people export; what is there would be installed into."""
    clone, venv = make_clone(tmp_path / "clone"), make_environment(tmp_path)
    (clone / "here").mkdir()
    for words, env in (([".venv"], {"VENV": "/else/where"}), (["mine"], {"TFOD_VENV": "mine", "VENV": "/else/where"})):
        (clone / words[0]).symlink_to(venv)
        done = subprocess.run(
            ["make", "split", "WORKSPACE=here"], cwd=clone, env={**os.environ, **env}, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert str(clone / "scripts/preprocessing/partition_dataset.py") in (venv / "bin/calls").read_text()
        (venv / "bin/calls").unlink()
        (clone / words[0]).unlink()


@pytest.mark.parametrize(
    ("words", "env", "steps", "batch"),
    [
        ([], {"STEPS": "9"}, "700", "16"),
        (["STEPS=5"], {}, "5", "16"),
        ([], {"TFOD_STEPS": "5"}, "5", "16"),
        (["BATCH=2"], {"TFOD_STEPS": "5"}, "5", "2"),
    ],
)
def test_the_demo_has_defaults_of_its_own(tmp_path, words, env, steps, batch):
    clone = make_clone(tmp_path / "clone")
    (clone / "workspace/demo").mkdir(parents=True)
    calls = record_make(tmp_path, "demo", *words, clone=clone, env=env)
    [config] = [call for call in calls if call[1].endswith("configure_pipeline.py")]
    assert config[config.index("--num_steps") + 1] == steps
    assert config[config.index("--batch_size") + 1] == batch
    assert config[config.index("--ema") + 1] == "0.99"
    assert {call[0] for call in calls} == {str(clone), str(clone / "workspace/demo")}


@pytest.mark.attack
@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("MODEL=", "error: MODEL is empty; name a model"),
        ("WORKSPACE=", "error: WORKSPACE is empty; name the workspace's folder"),
        *(
            (f"MODEL={name}", f"error: MODEL={name}: can't be a model's name")
            for name in ("..", ".", "a/../..", "/a", "a//b")
        ),
    ],
)
def test_an_empty_variable_and_a_model_elsewhere_are_refused(tmp_path, workspace, word, said):
    calls, text = try_make(tmp_path, "split", workspace, word, code=2)
    assert calls == []
    assert said in text


def test_what_is_made_of_an_export_wants_one(tmp_path):
    calls, said = try_make(tmp_path, "onnx", f"WORKSPACE={tmp_path}", code=2)
    assert calls == []
    assert f"error: {tmp_path}/exported_models/my_model: is not an export; run make export first" in said


@pytest.mark.attack
@pytest.mark.parametrize("name", ["a b", "-n", "猫", "*", "a;touch canary", "#", "--help", "%"])
def test_a_workspace_of_an_odd_name_is_made_and_its_command_can_be_pasted(tmp_path, name):
    clone = make_clone(tmp_path / "clone")
    done = subprocess.run(["make", "workspace", f"NAME={name}"], cwd=clone, capture_output=True, text=True, check=True)
    folder = clone / "workspace" / name
    assert (folder / "images/train").is_dir()
    assert (folder / "model_main_tf2.py").samefile(ROOT / "scripts/model_main_tf2.py")
    command = done.stdout.splitlines()[-1].strip()
    assert shlex.split(command)[-1] == f"WORKSPACE=workspace/{name}"


@pytest.mark.attack
@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/abs", "a/b", "`touch canary`", "$(x)", "it's", '"', "a\\b"])
def test_a_workspace_elsewhere_or_with_quotes_is_refused(tmp_path, name):
    clone = make_clone(tmp_path / "clone")
    _, said = try_make(tmp_path, "workspace", f"NAME={name}", clone=clone, code=2)
    assert said.count("error: NAME") == 1
    assert not (clone / "workspace").exists()
    assert not list(tmp_path.rglob("canary*"))


@pytest.mark.attack
def test_a_script_of_ones_own_in_a_workspace_is_kept(tmp_path):
    clone = make_clone(tmp_path / "clone")
    mine = clone / "workspace/fruit/model_main_tf2.py"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    try_make(tmp_path, "workspace", "NAME=fruit", clone=clone)
    assert mine.read_text() == "mine"
    assert (mine.parent / "inference_main_v2.py").exists()


def test_no_recipe_has_a_value_in_its_text():
    """Make may look whether a variable is set; its value comes from the environment."""
    recipes = "".join(re.findall(r"^\t.*(?:\\\n.*)*", MAKEFILE.partition(".PHONY: help")[2], re.MULTILINE))
    harmless = re.sub(r"\$\((?:if|filter 0,)\s*\$\([A-Z_0-9]+\)", "", recipes)
    known = {"MAKE", "VERBS", "IN_WORKSPACE", "FROM_EXPORT", "1"}
    assert set(re.findall(r"\$\(([A-Z_0-9]+)\)", harmless)) - known == set()
