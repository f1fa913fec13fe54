"""Brings the photos and labels of another tool into images/: looks at a folder, zip or file, and says what it is.

    python import_dataset.py export.zip -o images

Known are labelImg's and Pascal VOC's XML, COCO JSON, YOLO txt (Ultralytics, Darknet, turned boxes and outlines), the
tutorial's and other CSV, LabelMe, CVAT, Label Studio, Supervisely, CreateML and Open Images, alone or as CVAT and
Roboflow export them: see docs/formats.md. Every labelled photo comes with an XML file as labelImg writes it. Where the
export has its own train, validation and test photos, these are in images/train, val and test.

Boxes that reach out of a photo are cut at its border, and boxes without an area left out; a line says so. Nothing is
changed in what is read; a photo or XML file that is in images/ already is not written over.
"""

import collections
import filecmp
import itertools
import re
import shutil
from pathlib import Path, PurePosixPath

from tfod.data.format_readers import READERS
from tfod.data.format_reading import NAMED, ROLES, SUBSET_NAMES, Reading, find_subset
from tfod.data.format_recognition import ARCHIVES, TITLES, UNKNOWN, find_parts, find_subsets, read_yaml
from tfod.data.formats import list_below, list_images_below, read_classes, write_voc
from tfod.data.images import list_images, map_in_threads
from tfod.data.voc import fold_name
from tfod.utils.console import Fault, InputError, find_hidden, join_few, make_parser, run, say
from tfod.utils.files import fingerprint, is_current, list_foreign, list_made, make_room, mark_current, sha256
from tfod.utils.zips import unpack_zip

MAKER = "import_dataset"  # of the output, as its stamp says
MOST_FAULTS = 40  # that are named at a time
ORDER = ("train", "val", "test")
EXPORT = "export it as COCO JSON, Pascal VOC XML or YOLO"


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("source", type=Path, metavar="FROM", help="folder, zip, or a JSON, CSV or XML file in a folder")
    parser.add_argument("-o", "--output", type=Path, default=Path("images"), help="folder for photos and XML files")
    parser.add_argument("--kind", choices=READERS, help="format to take, where a folder holds several")
    return parser.parse_args()


def open_source(source, room):
    """(the folder to look into, the one file of annotations to take or None); a zip is unpacked in `room`."""
    if source.is_dir():
        return source, None
    if not source.exists():
        raise InputError(f"{source}: is not there; give the folder or zip of the export")
    suffix = source.suffix.lower()
    if suffix == ".zip":
        unpack_zip(source, room / "unpacked")
        return room / "unpacked", None
    if suffix in ARCHIVES:
        raise InputError(f"{source}: is no zip; unpack it, and give the folder")
    if suffix not in (".json", ".csv", ".xml", ".yaml", ".yml"):
        raise InputError(f"{source}: is neither a folder nor a zip, nor a JSON, CSV or XML file; give one of these")
    folder = source.parent
    if not list_images_below(folder) and folder.resolve() != folder.resolve().parent:  # annotations/a.json, images/
        folder = folder.parent if folder.name else folder.resolve().parent
    return folder, None if suffix in (".yaml", ".yml") else source


def find_annotations(root, only, kind, images, without, source):
    """The list of Part to read: those of one format."""
    parts = find_parts(root, images, without, only)
    if kind:
        parts = [part for part in parts if part.kind == kind]
    kinds = list(dict.fromkeys(part.kind for part in parts))
    if len(kinds) > 1:
        places = [f"{TITLES[part.kind]} ({name_place(part, root, source)})" for part in parts]
        what = f"holds labels in {len(kinds)} formats, {join_few(places, NAMED)}"
        advice = f"give the folder or file of one of them, or call import_dataset.py with --kind {kinds[0]}"
        raise InputError(f"{source}: {what}; {advice}")
    if not parts:
        others = list_below(root, (*UNKNOWN, *ARCHIVES, ".json"))
        others = collections.Counter(path.suffix.lower() for path in others.values())
        found = ", ".join(f"{number} {suffix}" for suffix, number in others.items())
        if any(suffix in ARCHIVES for suffix in others):
            raise InputError(f"{source}: holds {found}; unpack them, or give each to make import by itself")
        if found or only or kind:
            raise InputError(f"{source}: holds no labels that are known{f', but {found}' if found else ''}; {EXPORT}")
    return parts


def name_place(part, root, source):
    """Where a Part is, as a person sees it: in the zip or below the folder that was given."""
    return part.source.relative_to(root).as_posix() if part.source != root else source.name


def read_part(part, images):
    """The Reading of a Part."""
    if part.kind != "yolo":
        more = {"files": part.files} if part.files is not None else {}
        return READERS[part.kind](part.source, images, repair=True, **more)
    classes = list(read_classes(part.classes)) if part.classes else []
    is_yaml = bool(part.classes) and part.classes.suffix.lower() in (".yaml", ".yml")
    images = {name: path for name, path in images.items() if path.is_relative_to(part.source)}
    has_keypoints = is_yaml and "kpt_shape" in read_yaml(part.classes)
    reading = READERS["yolo"](part.source, images, classes, part.files, has_keypoints, repair=True)
    if is_yaml:  # so Ultralytics has it
        reading.unlabelled, rest = sort_bare(reading.unlabelled, [image.name for image in reading.images])
        what = "photos without a txt file are taken as photos without an object"
        reading.counts[part.source, what] += len(reading.unlabelled)
        reading.add_negatives(images)
        reading.unlabelled = rest
    return reading


def count_photos(photos):
    """ "1 photo", "2 photos", of a list."""
    return f"{len(photos)} {'photo' if len(photos) == 1 else 'photos'}"


def sort_bare(bare, labelled):
    """(names of the photos without labels that are of the set: in folders of labelled ones or of a subset; the others,
    as those of a README)."""
    folders = {PurePosixPath(name).parent for name in labelled}
    ours = {name for name in bare if PurePosixPath(name).parent in folders or find_subset(name, by_name=False)}
    return [name for name in bare if name in ours], [name for name in bare if name not in ours]


def read_all(parts, images):
    """(list of Reading, dict image name -> its LabelledImage). Raises InputError with all faults."""
    readings = [read_part(part, images) for part in parts]
    faults = []
    for reading in readings:
        empty = [fault for fault in reading.faults if getattr(fault, "kind", "") == "box-no-area"]
        faults += [fault for fault in reading.faults if fault not in empty]
        reading.notes += [
            Fault(fault.kind, fault.file, fault.what.replace("; correct it", "; it is left out"), "repaired")
            for fault in empty
        ]
    labelled, owners, twice = {}, {}, []
    for part, reading in zip(parts, readings, strict=True):
        for image in reading.images:
            if image.name in labelled and labelled[image.name] != image:
                twice.append(f"{image.name} ({owners[image.name].source.name}, {part.source.name})")
            labelled[image.name], owners[image.name] = image, part
            for name in {box.name for box in image.boxes}:
                if not name or find_hidden(name):
                    wrong = "holds a character that can't be seen" if name else "has no name"
                    faults.append(f"{part.source}: the class {name!r} of {image.name} {wrong}; rename it")
    if twice:
        what = f"{count_photos(twice)} labelled twice: {join_few(twice, NAMED)}; take one of the files away"
        faults.append(f"{parts[0].source.parent}: {what}")
    if len(faults) > MOST_FAULTS:
        more = f"{len(faults) - MOST_FAULTS} more faults, most of them of the same kinds; correct these first"
        faults = [*faults[:MOST_FAULTS], f"{parts[0].source}: {more}"]
    if faults:
        raise InputError(*faults)
    return readings, labelled


def choose_photos(images, labelled):
    """(names of the photos to bring in, sorted; of these the ones without labels; the others, which are left out)."""
    bare = [name for name in images if name not in labelled]
    taken, others = sort_bare(bare, labelled) if labelled else (bare, [])
    return sorted([*labelled, *taken]), taken, others


def drop_copies(names, images, labelled, subsets):
    """The names without copies, of equal name, bytes and labels, as a split lays them into train/; the photos that are
    there twice with different boxes."""
    by_name = collections.defaultdict(list)
    for name in names:
        by_name[fold_name(PurePosixPath(name).name)].append(name)
    dropped, differing = set(), []
    for same in by_name.values():
        first = {}
        for name in same if len(same) > 1 else ():
            key = sha256(images[name])
            boxes = labelled[name].boxes if name in labelled else None
            if key not in first:
                first[key] = name, boxes
            elif boxes is None or boxes == first[key][1]:
                dropped.add(name)
                if name in subsets:
                    subsets.setdefault(first[key][0], subsets[name])
            else:
                differing.append(name)
    return [name for name in names if name not in dropped], differing


def choose_names(names, taken, source):
    """A dict name in the export ("a/b.jpg") -> the photo's own name in images/.

    Photos of one stem get the names of their folders in front, as task_1_b.jpg, and those of a stem that is in `taken`,
    a set, the name of the export.
    """
    stems = collections.defaultdict(list)
    for name in names:
        stems[fold_name(PurePosixPath(name).stem)].append(name)
    chosen, used = {}, set(taken)
    for stem, its_names in stems.items():
        for name in its_names:
            path = PurePosixPath(name)
            folders = [part for part in path.parts[:-1] if fold_name(part) not in (*ROLES, *SUBSET_NAMES)]
            tries = [] if len(its_names) > 1 else [path.name]
            tries += ["_".join([*folders, path.name]), "_".join(path.parts), f"{source}_{'_'.join(path.parts)}"]
            if stem in taken and len(its_names) == 1:
                tries = [f"{source}_{path.name}", *tries[2:]]
            numbered = (f"{path.stem}_{number}{path.suffix}" for number in itertools.count(2))
            every = itertools.chain(tries, numbered)
            chosen[name] = next(one for one in every if fold_name(PurePosixPath(one).stem) not in used)
            used.add(fold_name(PurePosixPath(chosen[name]).stem))
    return chosen


def find_taken(output, names, images):
    """The stems of photos in `output` and its subsets that are others than those of `images` of their name."""
    folders = [folder for folder in (output, *(output / subset for subset in ORDER)) if folder.is_dir()]
    mine = {fold_name(PurePosixPath(name).stem): name for name in names}
    same = [path for folder in folders for path in list_images(folder) if fold_name(path.stem) in mine]

    def is_other(path):
        name = mine[fold_name(path.stem)]
        return path.name != PurePosixPath(name).name or not filecmp.cmp(path, images[name], shallow=False)

    return {fold_name(path.stem) for path, other in zip(same, map_in_threads(is_other, same), strict=True) if other}


def choose_folders(names, subsets, output):
    """A dict image name -> list of the folders in `output` that the photo goes to, "" for `output` itself.

    A split of the export goes to train/, val/ and test/ alone, which `make split` then keeps. Where there are photos
    beside these, or some that are in no subset, the photos of a subset are in `output`, too, as `make split` has them.
    """
    is_ready_made = all(name in subsets for name in names) and not (output / "split.json").exists()
    if is_ready_made and not (output.is_dir() and list_images(output)):
        return {name: [subsets[name]] for name in names}
    return {name: ["", *([subsets[name]] if name in subsets else [])] for name in names}


def write_fresh(fresh, chosen, images, labelled, subsets, kept):
    """Writes what is to be in images/ into the new folder `fresh`: photos and XML files, in the folders that `subsets`,
    a dict image name -> list of folders ("" for images/ itself), says.

    `kept`: dict image name -> the XML file that says all and nothing else, which is copied as it is.
    """
    for name, short in chosen.items():
        for folder in (fresh / subset for subset in subsets[name]):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(images[name], folder / short)
            if name in kept and short == PurePosixPath(name).name:
                shutil.copyfile(kept[name], folder / PurePosixPath(short).with_suffix(".xml"))
            elif name in labelled:
                image = labelled[name]
                write_voc(folder, [type(image)(short, image.width, image.height, image.boxes)], {})


def install(fresh, output, stamp, source):
    """Moves the files of `fresh` to `output` where they are not there yet: a list of what was new.

    Raises InputError, and moves nothing, where others are there that this import of this export did not write.
    """
    pairs = [(path, output / path.relative_to(fresh)) for path in sorted(fresh.rglob("*")) if path.is_file()]
    new = [pair for pair in pairs if not pair[1].is_file() or not filecmp.cmp(*pair, shallow=False)]
    foreign = set(list_foreign(stamp, MAKER, [target for _, target in new if target.exists()]))
    if foreign:
        names = join_few([path.relative_to(output) for path in sorted(foreign)], NAMED)
        what = f"holds other files than {source} of these names, {len(foreign)} in all: {names}"
        advice = "move yours elsewhere, or import into another workspace (WORKSPACE=)"
        raise InputError(f"{output}: {what}; {advice}")
    output.mkdir(parents=True, exist_ok=True)
    for path, target in new:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    return [target for _, target in new]


def say_what(source, root, parts, images, readings, subsets):
    """Says what was recognized, and what is lost or taken in another way."""
    kinds = " and ".join(dict.fromkeys(TITLES[part.kind] for part in parts)) or "photos without labels"
    split = collections.Counter(subsets.values())
    shares = ", ".join(f"{subset} {split[subset]}" for subset in ORDER if split[subset])
    say(f"{source}: {kinds}, {count_photos(images)}{f'; its own split: {shares}' if shares else ''}")
    whole = Reading()
    for reading in readings:
        whole.counts += reading.counts
        whole.attributes += reading.attributes
        whole.notes += reading.notes
    for line in [*whole.list_losses(source), *whole.list_notes()]:
        say(line.replace(str(root), str(source)))


def bring_in(source, kind, output, room, stamp):
    """Everything between the call and the closing lines: (the LabelledImages, dict photo -> subset, and what `install`
    returns)."""
    root, only = open_source(source, room)
    try:
        return bring_in_folder(source, root, only, kind, output, room, stamp)
    except InputError as error:  # a zip's files are named as in the zip
        raise InputError(*(str(fault).replace(str(root), str(source)) for fault in error.faults)) from None


def bring_in_folder(source, root, only, kind, output, room, stamp):
    """As `bring_in`, of the folder `root`."""
    images, without = list_images_below(root), set()
    if root.resolve() == output.resolve():  # labelled photos right in it are in place already, and what an import laid
        without = {root.absolute() / path.name for path in root.glob("*.[xX][mM][lL]")} | set(list_made(stamp, MAKER))
        in_place = {path.with_suffix("") for path in without if path.suffix.lower() == ".xml"}
        images = {
            name: path
            for name, path in images.items()
            if path.absolute() not in without and path.absolute().with_suffix("") not in in_place
        }
    if not images and without:
        return [], {}, []
    if not images:
        raise InputError(f"{source}: there are no photos in it or its folders; put them beside the labels")
    parts = find_annotations(root, only, kind, images, without, source)
    readings, labelled = read_all(parts, images)
    subsets = find_subsets(root, images, parts, readings)
    say_what(source, root, parts, images, readings, subsets)
    names, bare, left = choose_photos(images, labelled)
    names, differing = drop_copies(names, images, labelled, subsets)
    if differing:
        what = f"{count_photos(differing)} twice, with other boxes: {join_few(differing, NAMED)}"
        say(f"warning: {what}; keep one of each")
    chosen = choose_names(names, find_taken(output, names, images), re.sub(r"\W+", "_", source.resolve().stem))
    renamed = [short for name, short in chosen.items() if short != PurePosixPath(name).name]
    if renamed:
        say(f"{count_photos(renamed)} renamed, since others have the same name: {join_few(renamed, NAMED)}")
    if bare := [name for name in bare if name in chosen]:
        what = f"{count_photos(bare)} without labels, brought in without an XML file: {join_few(bare, NAMED)}"
        say(f"{what}; label them, or ALLOW_UNLABELLED=1 takes them as photos without an object")
    if left:
        say(f"{count_photos(left)} left out, in folders without any labels")
    kept = {name: xml for reading in readings for name, xml in reading.kept.items()}
    folders = choose_folders(chosen, subsets, output)
    write_fresh(room / "fresh", chosen, images, labelled, folders, kept)
    new = install(room / "fresh", output, stamp, source)
    return [labelled[name] for name in chosen if name in labelled], subsets, new


def main():
    args = parse_arguments()
    source, output = args.source, args.output
    if source.is_dir() and output.resolve() != source.resolve() and output.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{source}: {output} lies in it; give the folder of the export alone")
    state = fingerprint([source], kind=args.kind) if source.exists() else None
    stamp = output / f"{source.resolve().name}.import"
    if state and source.resolve() != output.resolve() and is_current(stamp, state, MAKER):
        say(f"{output} is up to date: {source} was imported, and has not changed since")
        return
    former = list_made(stamp, MAKER)
    with make_room(output) as room:
        found, subsets, new = bring_in(source, args.kind, output, room, stamp)
    mark_current(stamp, state, MAKER, [*former, *(path for path in new if path not in set(former))])
    boxes = collections.Counter(box.name for image in found for box in image.boxes)
    classes = join_few([f"{name} {number}" for name, number in boxes.most_common()], 10)
    number = f"{boxes.total()} {'box' if boxes.total() == 1 else 'boxes'}"
    what = f"{count_photos(found)} with labels, {number}{f' ({classes})' if classes else ''}"
    if not new:
        say(f"{output} is up to date ({what})")
        return
    print(f"Wrote {output}: {what}")
    if subsets:
        folders = ", ".join(f"{output.name}/{subset}" for subset in ORDER if subset in subsets.values())
        print(f"The export's own split is kept, in {folders}; go on with: make tfrecord")
    else:
        print("Go on with: make split tfrecord")


if __name__ == "__main__":
    run(main)
