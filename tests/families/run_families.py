"""Takes a small model of each family through every command, from its base config in scripts/configs on.

Each is configured for small pictures that are drawn for it, trained for two steps, evaluated, exported, run, made a
TFLite and an ONNX file of, packed as the zoo packs its models, and started from that tarball in every way there is.
What a family can't do has to be refused with the reason. Ends with 0 if all is as it has to be, with 1 otherwise.

    python tests/families/run_families.py
    python tests/families/run_families.py --time --results docs/models.json
"""

import contextlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from family_stages import FAMILIES, LABELS, SCRIPTS, ZOO_LABELS, list_stages, work

from tfod.utils import files
from tfod.utils.console import InputError, make_parser, run, say

CORES = len(os.sched_getaffinity(0))
LINES = 40  # of a log that are shown where a process ended before its time
# What a family can't do, and a part of what it has to say then.
REFUSALS = {
    ("faster_rcnn_resnet50_v1", "tflite"): "Faster R-CNN can't be a TFLite file",
}


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=FAMILIES, default=list(FAMILIES), help="base configs to take")
    parser.add_argument("--time", action="store_true", help="measure training steps at the config's own size instead")
    parser.add_argument("--batch_size", type=int, default=2, help="images a step for --time")
    parser.add_argument("--jobs", type=int, default=CORES, help="families at a time; one for --time")
    parser.add_argument("--folder", help="folder to work in, which stays; else a temporary one")
    parser.add_argument("--results", help="JSON file to note the results in, as docs/models.json")
    arguments = parser.parse_args()
    for name in ("jobs", "batch_size"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be 1 or more")
    return arguments


def make_data(folder):
    """Draws pictures, and makes records and two label maps of them: one with a class more, as the zoo's have more."""

    def call_script(script, *words):
        command = [sys.executable, SCRIPTS / "preprocessing" / script, *words]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    folder.mkdir()
    call_script("make_sample_dataset.py", "-o", "images", "--number", "6", "--size", "160")
    call_script("generate_label_map.py", "-x", "images", "-o", LABELS)
    for side in ("train", "test"):
        call_script("generate_tfrecord.py", "-x", "images", "-l", LABELS, "-o", f"annotations/{side}.record")
    text = (folder / LABELS).read_text(encoding="utf-8") + "item {\n  id: 3\n  name: 'bird'\n}\n"
    files.write_text(folder / ZOO_LABELS, text)


def run_family(name, batch_size, folder, context, keep):
    """Runs `work` for a family in a process of its own. Returns (its notes, its exit code, the end of its log).

    It works in folder/NAME, which is removed unless `keep`: six families' models take 5 GB.
    """
    place = shutil.copytree(folder / "data", folder / name)
    process = context.Process(target=work, args=(name, FAMILIES[name], batch_size, str(place)))
    process.start()
    process.join()
    path = place / "notes.json"
    notes = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    log = (place / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:]
    if not keep:
        shutil.rmtree(place)
    return notes, process.exitcode, "\n".join(log)


def find_faults(name, notes, code, stages, log):
    """What is not as it has to be, as texts."""
    faults = []
    for stage, (ended, _, said) in notes.items():
        reason = REFUSALS.get((name, stage))
        if reason and (ended != 1 or reason not in said):
            faults.append(f"{name}: {stage} was to be refused with {reason!r}; it ended with {ended}: {said}")
        if not reason and ended:
            faults.append(f"{name}: {stage} ended with {ended}: {said}")
    missing = [stage for stage in stages if stage not in notes]
    if (missing or code) and not faults:
        faults.append(f"{name}: ended with {code} before {', '.join(missing) or 'its end'}:\n{log}")
    return faults


def run_families(arguments, folder):
    """Runs all families that are asked for. Returns ({family: notes}, faults)."""
    jobs = 1 if arguments.time else arguments.jobs
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(max(1, CORES // jobs))
    make_data(folder / "data")
    # Processes are forked from one that has TensorFlow imported and has not used it yet.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tfod.compat", "tensorflow"])
    batch_size = arguments.batch_size if arguments.time else 0
    stages = ["step"] if arguments.time else [stage for stage, _ in list_stages("", 0)]
    results, faults = {}, []
    with ThreadPoolExecutor(jobs) as pool:
        chosen = [name for name in FAMILIES if name in arguments.only]
        done = pool.map(lambda name: run_family(name, batch_size, folder, context, bool(arguments.folder)), chosen)
        for name, (notes, code, log) in zip(chosen, done, strict=True):
            results[name] = notes
            faults += find_faults(name, notes, code, stages, log)
            told = ", ".join(f"{stage} {note[1]:.1f} s{' (refused)' * bool(note[0])}" for stage, note in notes.items())
            say(f"{name}: {told}")
    return results, faults


def write_results(path, results, batch_size):
    """Puts the results into the JSON file, beside those that are there of other families and of other runs.

    {family: {"stages": {stage: "yes" or the reason why not}, "step": {"seconds", "batch_size", "cores"}}}
    """
    path = Path(path)
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name, notes in results.items():
        entry = known.setdefault(name, {})
        if "step" in notes:
            entry["step"] = {"seconds": round(notes["step"][1], 2), "batch_size": batch_size, "cores": CORES}
        else:
            entry["stages"] = {stage: describe_outcome(code, said) for stage, (code, _, said) in notes.items()}
    files.write_text(path, json.dumps(dict(sorted(known.items())), indent=2) + "\n")


def describe_outcome(code, said):
    """ "yes", or the reason that a script's error gives, without the file's name and what to do."""
    if not code:
        return "yes"
    return said.strip().splitlines()[-1].removeprefix("error: ").partition(": ")[2].partition(";")[0]


def main():
    arguments = parse_arguments()
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        if arguments.folder:
            folder = Path(arguments.folder).resolve()
            if folder.exists() and any(folder.iterdir()):
                raise InputError(f"{folder}: is not empty; name a new folder")
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="families-")))
        results, faults = run_families(arguments, folder)
    print(f"{len(results)} families in {time.monotonic() - start:.0f} s")
    if faults:
        raise InputError(*faults)
    if arguments.results:
        write_results(arguments.results, results, arguments.batch_size)
        print(f"Wrote {arguments.results}")


if __name__ == "__main__":
    run(main)
