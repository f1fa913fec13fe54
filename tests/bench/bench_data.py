"""How fast records are written, with how much memory, beside the tutorial's way; one table (`make bench-data`).

    python tests/bench/bench_data.py ../shared/raccoon/images

Photos are hard links of the given ones under other names, each read as often as it is linked. All sides begin with the
start of their process. Rounds alternate; figures are medians, with the smallest and the largest in brackets. What
bounds each side: writing is bound by Python's work on XML files, headers and boxes and by sha256, both spread over the
cores; the full check by libjpeg, which reads every byte of a JPEG and works out its pixels at an eighth of the size
(that finds what a decoding to all pixels finds). "decoding alone" works out all pixels.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench_check import decode_alone, link_photos

from tfod.data.label_map import write_label_map
from tfod.utils.console import InputError, make_parser, run, say
from tfod.utils.parallel import count_cores

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "scripts" / "preprocessing" / "generate_tfrecord.py"


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder of labelled photos, whose class is raccoon")
    parser.add_argument("--photos", type=int, default=16000, help="number of photos")
    parser.add_argument(
        "--few", type=int, default=2000, help="number of photos to compare memory and time a photo with"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each side")
    parser.add_argument("--no_check", action="store_true", help="leave out the figure of make check")
    return parser.parse_args()


def list_processes(pid):
    """The process and those below it that live."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:  # it has just ended
        return []
    return [pid, *(process for child in children for process in list_processes(int(child)))]


def read_peak(pid):
    """The largest resident memory that a process ever had, in MB; 0 if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0)


def measure_run(command, cwd=None):
    """(seconds, peak memory in MB of the process, of its largest child) of a command, from its start to its end."""
    peaks = {}
    started = time.perf_counter()
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(list(map(str, command)), cwd=cwd, **pipes)

    def watch():
        while process.returncode is None:
            for pid in list_processes(process.pid):
                peaks[pid] = max(peaks.get(pid, 0), read_peak(pid))
            time.sleep(0.05)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    said = process.stderr.read()
    process.wait()
    seconds = time.perf_counter() - started
    watcher.join()
    if process.returncode:
        raise InputError(f"{command[1]}: ended with {process.returncode}: {said[-500:]}; correct it first")
    return seconds, peaks.pop(process.pid, 0), max(peaks.values(), default=0)


def write(photos, label_map, *options):
    """As `measure_run`, of generate_tfrecord.py."""
    output = photos.parent / "ours.record"
    figures = measure_run([sys.executable, SCRIPT, "-x", photos, "-l", label_map, "-o", output, *options])
    for path in photos.parent.glob("*ours.record*"):
        path.unlink()
    return figures


def write_as_tutorials_do(photos, label_map):
    output = photos.parent / "rival.record"
    figures = measure_run([sys.executable, HERE / "tutorial_way.py", photos, label_map, output])
    output.unlink()
    return figures


def decode(photos, workers):
    """As `measure_run`, of a process that has others decode the photos and does nothing else."""
    program = "import sys, pathlib, bench_check; bench_check.decode_alone(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"
    return measure_run([sys.executable, "-c", program, photos, workers], cwd=HERE)


def measure(folder, number, few, rounds):
    """A dict: what was measured -> list of (seconds, MB, MB of the largest child), one a round."""
    workers = count_cores()
    with tempfile.TemporaryDirectory(prefix="bench_data.") as room:
        room = Path(room)
        shutil.copytree(folder, room / "photos")  # on one disk with the links
        write_label_map(room / "l.pbtxt", {"raccoon": 1})
        for name, count in (("many", number), ("few", few), ("none", workers)):
            link_photos(room / "photos", room / name, count)
        sides = {
            "tutorial": lambda: write_as_tutorials_do(room / "many", room / "l.pbtxt"),
            "headers": lambda: write(room / "many", room / "l.pbtxt", "--check", "headers"),
            "full": lambda: write(room / "many", room / "l.pbtxt"),
            "decode": lambda: decode(room / "many", workers),
            "few": lambda: write(room / "few", room / "l.pbtxt", "--check", "headers"),
            "few full": lambda: write(room / "few", room / "l.pbtxt"),
            "start": lambda: write(room / "none", room / "l.pbtxt", "--check", "headers"),
        }
        figures = {side: [] for side in sides}
        decode_alone(room / "many", workers)  # every photo is in the system's cache now
        for _ in range(rounds):
            for side, work in sides.items():
                figures[side].append(work())
                say("{}: {:.2f} s, {:.1f} MB, largest child {:.1f} MB".format(side, *figures[side][-1]))
    return figures


def pick(figures, side, part=0):
    return [figure[part] for figure in figures[side]]


def show(values, unit, digits=2):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} [{low:.{digits}f} {high:.{digits}f}] {unit}".rstrip()


def divide(ones, others):
    return [one / other for one, other in zip(ones, others, strict=True)]


def make_rows(figures, number, few):
    """Rows (what, measured, wanted, whether it is reached or None)."""
    rows = []

    def add(what, values, unit="", at_least=None, at_most=None):
        middle = statistics.median(values)
        wanted = f"at least {at_least}" if at_least else f"at most {at_most}" if at_most else ""
        reached = middle >= at_least if at_least else middle <= at_most if at_most else None
        rows.append((what, show(values, unit), wanted, reached))

    times = {side: pick(figures, side) for side in figures}
    add(f"the tutorial's way, {number} photos", times["tutorial"], "s")
    add("its peak memory", pick(figures, "tutorial", 1), "MB")
    add("generate_tfrecord.py, headers checked", times["headers"], "s")
    add("times as fast as the tutorial's way", divide(times["tutorial"], times["headers"]), at_least=2.5)
    add("generate_tfrecord.py, photos decoded", times["full"], "s")
    add("times as fast as the tutorial's way", divide(times["tutorial"], times["full"]))
    add(f"decoding alone, all pixels, {count_cores()} processes", times["decode"], "s")
    add("check and writing at so much of its speed", divide(times["decode"], times["full"]), at_least=0.9)
    for many, less in (("headers", "few"), ("full", "few full")):
        for part, process in ((1, "the parent"), (2, "the largest worker")):
            what = f"peak memory of {process}, {many} checked, {number} photos"
            add(what, pick(figures, many, part), "MB")
            add(
                f"... times that of {few} photos",
                divide(pick(figures, many, part), pick(figures, less, part)),
                at_most=1.1,
            )
        starts = times["start"]
        a_photo = [1e6 * (time - start) / number for time, start in zip(times[many], starts, strict=True)]
        fewer = [1e6 * (time - start) / few for time, start in zip(times[less], starts, strict=True)]
        add(f"time a photo, {many} checked, without the start", a_photo, "us")
        add(f"... times that of {few} photos", divide(a_photo, fewer), at_most=1.1)
    add("start of generate_tfrecord.py (as many photos as cores)", times["start"], "s")
    return rows


def main():
    args = parse_arguments()
    rows = make_rows(measure(args.folder, args.photos, args.few, args.rounds), args.photos, args.few)
    if not args.no_check:
        import bench_check

        for what, seconds, ratio, wanted in bench_check.measure(args.folder, args.photos, args.rounds):
            reached = ratio <= wanted if wanted else None
            rows.append((what, f"{seconds:.2f} s, ratio {ratio:.2f}", f"at most {wanted}" if wanted else "", reached))
    width = max(len(what) for what, *_ in rows)
    for what, measured, wanted, reached in rows:
        verdict = {None: "", True: "yes", False: "NO"}[reached]
        print(f"{what:{width}}  {measured:30}  {wanted:14}  {verdict}".rstrip())
    return int(any(reached is False for *_, reached in rows))


if __name__ == "__main__":
    run(main)
