"""Finds every fault of photos, boxes, class names and split before a training does.

    python check_dataset.py -i images -l annotations/label_map.pbtxt --config models/my_model/pipeline.config

Every photo is decoded to its last byte, every XML file read; of images/train, val and test, where they are there, and
of photos in the folder itself that are in no subset. Nothing is changed: --fix writes corrected copies elsewhere.
Ends with 1 if there is an error; warnings are to be looked at. With --faulty skip, or fix, it ends with 0 as long as
photos are left that are sound, or can be repaired: the records are then made of these, and the report names the others.
"""

import argparse
from pathlib import Path

from tfod.data import faulty
from tfod.data.checks import make_report, print_report, print_summary, read_report, write_report
from tfod.data.image_folders import list_subsets
from tfod.data.label_map import number_classes, read_label_map
from tfod.data.labelled_images import ReadOptions, find_set_turn, note_unlabelled
from tfod.data.split import SUBSETS
from tfod.utils.console import InputError, make_parser, run, say
from tfod.utils.files import fingerprint, is_current, mark_current, refuse_foreign
from tfod.utils.parallel import count_cores, map_chunks

MAKER = "check_dataset"  # of the output, as its stamp says
CHUNK = 16  # photos that a process looks at between two messages


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("-i", "--image_dir", type=Path, default=Path("images"), help="folder of the photos")
    parser.add_argument("-l", "--labels_path", type=Path, help="label map; without one no class is unknown")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--config", type=Path, help="pipeline.config of the model, for its input size")
    size.add_argument(
        "--input_size", type=read_size, metavar="WxH", help="the model's input size in pixels, as 320x320"
    )
    parser.add_argument(
        "--allow_unlabelled", "--allow-unlabelled", action="store_true", help="take images without XML as negatives"
    )
    faulty.add_faulty_flag(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole report there")
    parser.add_argument("--all", action="store_true", help="print all files of each kind of fault, not the first 5")
    parser.add_argument("--fix", type=Path, metavar="FOLDER", help="write corrected copies into this new folder")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw charts of the data set into this folder")
    parser.add_argument("--num_workers", type=int, help="processes (default: the cores)")
    args = parser.parse_args()
    if args.num_workers is not None and args.num_workers < 1:
        parser.error("--num_workers must be 1 or more")
    return args


def read_size(text):
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size as 320x320") from None
    if min(width, height) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} has a side under 1 pixel")
    return width, height


def read_labels(path):
    """(dict class name -> id, or None without a sound label map; list of faults)."""
    if path is None:
        return None, []
    try:
        return read_label_map(path), []
    except InputError as error:
        return None, list(error.faults)


def make_scale(args):
    """(a function (width, height) -> (x scale, y scale) of the model's resizer, or None; the text that says which)."""
    if args.input_size:
        width, height = args.input_size
        return lambda *photo: (width / photo[0], height / photo[1]), f"{width}x{height}"
    if args.config:
        from tfod.config.pipeline import get_input_scale, get_model, read_config

        config = read_config(args.config)
        if not config.model.WhichOneof("model"):
            raise InputError(f"{args.config}: has no model; give the pipeline.config of one")
        try:
            get_input_scale(config, 1, 1)
        except ValueError as error:
            raise InputError(f"{args.config}: {error}; give --input_size instead") from None
        return lambda *photo: get_input_scale(config, *photo), str(get_model(config).image_resizer)
    return None, ""


def list_jobs(subsets, allow_unlabelled):
    """(list of (subset, image path, XML path or None) to look at, a fault for each image that lacks its XML file)."""
    jobs, faults = [], []
    for subset in subsets:
        jobs.extend((subset.name, *pair) for pair in subset.pairs)
        jobs.extend((subset.name, image, None) for image in subset.bare)
        if not allow_unlabelled:
            faults.extend(map(note_unlabelled, subset.bare))
    return jobs, faults


def look_at_all(jobs, repair, workers):
    """The `Look` of every job, in their order."""
    from tfod.data.checks import look_at

    reading = ReadOptions(repair=repair, as_stored=find_set_turn([pair for _, *pair in jobs]))
    chunks = map_chunks(lambda chunk: [look_at(job, reading) for job in chunk], jobs, workers, "checking", CHUNK)
    return [look for chunk in chunks for look in chunk]


def check_all(looks, names_to_ids, args, get_scale):
    """(list of faults and warnings, dict class -> Counter of subset -> boxes) of all that was looked at."""
    from tfod.data.checks import (
        check_sizes,
        count_boxes,
        find_copies,
        find_imbalances,
        find_spellings,
        find_unknown_classes,
    )

    faults = [fault for look in looks for fault in look.faults]
    for look in looks:
        if look.photo:
            faults.extend(check_sizes(look.photo, get_scale))
    if names_to_ids is not None:
        faults.extend(find_unknown_classes(looks, names_to_ids, args.labels_path))
    counts = count_boxes(looks)
    faults.extend(find_spellings(looks, args.image_dir))
    faults.extend(find_copies(looks))
    faults.extend(find_imbalances(looks, counts, names_to_ids, args.image_dir))
    return faults, counts


def is_made_of(names_to_ids, report_path):
    """Whether a label map has just the classes of the report that is there: it was made since, and changes nothing."""
    try:
        report = read_report(report_path)
        lacked = any(fault["kind"] == "class-unknown" for fault in report["faults"])  # by the label map of before
        return not lacked and names_to_ids == number_classes(report["classes"])
    except (InputError, ValueError, KeyError, TypeError):  # there is no report, or somebody edited it
        return False


def draw_plots(folder, looks, names_to_ids, config_path):
    from tfod.report.dataset_charts import draw_charts

    subsets = {name: [look.photo for look in looks if look.subset == name and look.photo] for name in ("", *SUBSETS)}
    subsets = {name or "images": photos for name, photos in subsets.items() if photos}
    names = names_to_ids or {
        name: number for number, name in enumerate(sorted({n for look in looks for n in look.names}), 1)
    }
    config = None
    if config_path:
        from tfod.config.pipeline import read_config

        config = read_config(config_path)
    draw_charts(folder, subsets, names, config)


def end(args, report):
    """Says how many photos are left out and repaired. Raises InputError if there are errors that stop the work."""
    number, repaired, total = report["faulty_photos"], report["repaired_photos"], report["photos"]
    stays = any(fault["kind"] == "label-map" for fault in report["faults"])
    if args.faulty != "stop" and not stays and number < total:
        done = {"left out of the records": number, "repaired in them": repaired}
        if any(done.values()):
            counts = " and ".join(f"{count} {what}" for what, count in done.items() if count)
            say(f"warning: of {total} photos {counts}, as FAULTY={args.faulty} asks for")
        return
    if not report["errors"]:
        return
    what = "the one error" if report["errors"] == 1 else f"the {report['errors']} errors"
    what += " above must be corrected; --fix FOLDER corrects what it can, in copies"
    advice = faulty.advise(number, total, report["repairable_photos"], "tfrecord") if number and not stays else ""
    raise InputError(f"{args.image_dir}: {what}", advice=advice if args.faulty == "stop" else "")


def main():
    args = parse_arguments()
    names_to_ids, faults = read_labels(args.labels_path)
    get_scale, input_size = make_scale(args)
    subsets, more = list_subsets(args.image_dir)
    jobs, still_more = list_jobs(subsets, args.allow_unlabelled)
    faults += more + still_more
    if args.json:
        refuse_foreign(args.json, MAKER, "name another file with --json")

    files = [path for _, *paths in jobs for path in paths if path]
    state = fingerprint(
        files,
        classes=None if is_made_of(names_to_ids, args.json) else names_to_ids,
        input_size=input_size,
        allow_unlabelled=args.allow_unlabelled,
        repair=args.faulty == "fix",
        faults=list(map(str, faults)),
    )
    if args.json and not (args.fix or args.plots) and is_current(args.json, state, MAKER):
        say(f"{args.json} is up to date: nothing has changed since this was found")
        report = read_report(args.json)
        if report["errors"] or args.all:
            print_report(report, args.json, args.all)
        else:
            print_summary(report)
    else:
        looks = look_at_all(jobs, args.faulty == "fix", args.num_workers or count_cores())
        more, counts = check_all(looks, names_to_ids, args, get_scale)
        report = make_report(looks, faults + more, counts)
        if args.json:
            write_report(args.json, report, MAKER)
            mark_current(args.json, state, MAKER)
        print_report(report, args.json, args.all)
        if args.fix:
            from tfod.data.fixes import fix_photos

            fix_photos(looks, faults + more, names_to_ids, args.image_dir, args.fix)
        if args.plots:
            draw_plots(args.plots, looks, names_to_ids, args.config)
    end(args, report)


if __name__ == "__main__":
    run(main)
