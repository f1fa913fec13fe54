"""Takes models of the zoo, as tarballs with weights by chance, through the commands that a user types first.

    python tests/families/zoo_models.py ../shared/zoo --data ../shared/raccoon/images

Each one goes through `make split tfrecord train PRETRAINED=T.tar.gz STEPS=2`, in a workspace of its own. Prints the
table of docs/checkpoints.md: variables of the model that were restored, variables of the checkpoint that were taken,
and the parts that start with new weights.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tfod.model.checkpoints import list_variables

ROOT = Path(__file__).parents[2]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo", type=Path, help="folder of the zoo's small files, with make_tarball.py")
    parser.add_argument("--data", type=Path, required=True, help="folder of photos and XML files")
    parser.add_argument("--models", nargs="+", help="names of models (default: all that the folder has)")
    parser.add_argument("--type", default="except_class_head", help="fine_tune_checkpoint_type (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=2, help="training steps (default: 2)")
    return parser.parse_args()


def choose_batch(name):
    """Images a step that two cores and 24 GiB of memory bear."""
    return 1 if "inception" in name else 8 if "320x320" in name else 2


def train(args, name, room):
    """Runs the command for the model `name` in the folder `room`: (what it said, its checkpoint)."""
    tarball = room / "zoo_model.tar.gz"  # another name: the zoo's own have sizes that are known
    subprocess.run([sys.executable, args.zoo / "make_tarball.py", name, tarball], check=True, capture_output=True)
    workspace = room / "workspace"
    (workspace / "images").mkdir(parents=True)
    for path in sorted(args.data.iterdir())[:40]:
        shutil.copy(path, workspace / "images")
    words = {"WORKSPACE": workspace, "PRETRAINED": tarball, "STEPS": args.steps, "BATCH": choose_batch(name)}
    words |= {"FINE_TUNE_CHECKPOINT_TYPE": args.type, "VENV": sys.prefix}
    command = ["make", "split", "tfrecord", "train", *(f"{key}={value}" for key, value in words.items())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode or "Traceback" in done.stderr:
        raise SystemExit(f"{name}: {done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    checkpoint = workspace / "pre_trained_models/zoo_model/checkpoint/ckpt-0"
    assert (workspace / "models/my_model" / f"ckpt-{args.steps}.index").is_file()
    return done.stderr, checkpoint


def main():
    args = parse_arguments()
    names = args.models or sorted(path.parent.name for path in args.zoo.glob("*/object_graph.pb"))
    print("| model | the model's variables | the checkpoint's variables | new weights |")
    print("|---|---|---|---|", flush=True)
    for name in names:
        with tempfile.TemporaryDirectory() as room:
            said, checkpoint = train(args, name, Path(room))
            theirs = sum(key.startswith("model/") for key in list_variables(checkpoint))
        banner = re.search(r"^ *restored (.*)$", said, re.MULTILINE)[1]
        restored = [tuple(map(int, numbers)) for numbers in re.findall(r"(\d+) of (\d+)", banner)]
        taken = sum(one for one, _ in restored)
        new = re.findall(r"([a-zA-Z ]+) (\d+)", banner.partition("; new weights: ")[2])
        ours = sum(number for _, number in restored) + sum(int(number) for _, number in new)
        parts = ", ".join(f"{part.strip()} ({number})" for part, number in new)
        print(f"| `{name}` | {taken} of {ours} | {taken} of {theirs} | {parts} |", flush=True)


if __name__ == "__main__":
    main()
