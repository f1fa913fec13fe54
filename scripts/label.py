"""Opens the labelling tool, labelImg++, on a folder of photos, with the classes predefined.

    python label.py -i images -l annotations/label_map.pbtxt

It saves one Pascal VOC XML file for each photo, beside it. Keys: W draws a box, Ctrl+S saves, D and A go to the next
photo and back. The tool has an environment of its own, which `make label` installs.
"""

import collections
import contextlib
import ctypes
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tfod.data.images import list_images
from tfod.data.label_map import read_label_map
from tfod.data.voc import list_annotations, read_annotation
from tfod.utils.console import InputError, make_parser, run, say

ROOT = Path(__file__).resolve().parents[1]


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument(
        "-i", "--image_dir", type=Path, default=Path("images"), help="folder of the photos; the XML files go there, too"
    )
    parser.add_argument(
        "-l",
        "--labels_path",
        type=Path,
        default=Path("annotations/label_map.pbtxt"),
        help="label map with the classes to offer; where there is none, those of the XML files are offered",
    )
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-label", help="environment of the labelling tool")
    return parser.parse_args()


def find_missing_libraries(venv):
    """The Debian packages of the system libraries that the tool's windows need and this machine lacks, sorted."""
    binding = list(venv.glob("lib/python*/site-packages/PyQt5"))
    if not binding:
        raise InputError(f"{venv}: does not hold the labelling tool; make label installs it")
    names = ("QtCore.abi3.so", "QtGui.abi3.so", "QtWidgets.abi3.so", "Qt5/plugins/platforms/libqxcb.so")
    said = subprocess.run(
        ["ldd", *(binding[0] / name for name in names)], capture_output=True, text=True, check=False
    ).stdout
    return sorted({name_package(library) for library in re.findall(r"(\S+) => not found", said)})


def name_package(library):
    """The Debian package of a shared library, by Debian's naming rule: libxcb-icccm.so.4 is in libxcb-icccm4."""
    name, version = library.lower().split(".so.")
    if name in ("libglib-2.0", "libgthread-2.0"):  # one package for the family
        return "libglib2.0-0"
    return name + ("-" if name[-1].isdigit() else "") + version


def has_screen():
    """True if there is a screen to open a window on, as DISPLAY names it."""
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:  # find_missing_libraries tells of it
        return bool(os.environ.get("DISPLAY"))
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    failed = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return not failed


def check_machine(venv):
    """Raises InputError where the tool can't open its window, since Qt would only abort."""
    faults = []
    packages = find_missing_libraries(venv)
    if packages:
        faults.append(f"Qt: system libraries are missing; sudo apt install {' '.join(packages)}")
    if not has_screen():
        display = os.environ.get("DISPLAY")
        what = f"DISPLAY={display}: does not answer" if display else "DISPLAY: is not set"
        faults.append(
            f"{what}, so there is no screen to open a window on; log in with ssh -X, or label on a computer with a"
            " screen and copy the XML files here, beside the photos"
        )
    if faults:
        raise InputError(*faults)


def find_classes(labels_path, image_dir):
    """The class names to offer: those of the label map, or, where there is none, those of the XML files, sorted."""
    if labels_path.exists():
        return list(read_label_map(labels_path))
    names = set()
    for path in list_annotations(image_dir):
        try:
            names.update(box.name for box in read_annotation(path).boxes)
        except InputError as error:  # the tool is there to correct it
            for fault in error.faults:
                say(f"warning: {fault}")
    return sorted(names)


def find_photos(image_dir):
    """The photos of the folder itself. Raises InputError if there are none, or if two would have the same XML file."""
    photos = list_images(image_dir)
    if not photos:
        raise InputError(f"{image_dir}: there are no photos in it; copy yours there")
    by_stem = collections.defaultdict(list)
    for photo in photos:
        by_stem[photo.stem.casefold()].append(photo)
    faults = [
        f"{first}: would have the same XML file as {', '.join(photo.name for photo in others)}; rename one"
        for first, *others in by_stem.values()
        if others
    ]
    if faults:
        raise InputError(*faults)
    return photos


@contextlib.contextmanager
def lay_out(photos, classes):
    """Yields a folder of links to the photos, and the file of the classes, one a line; both are temporary.

    The tool would list the copies in images/train and images/test, too, and then name the XML files unlike the photos.
    """
    with tempfile.TemporaryDirectory(prefix="label-") as room:
        folder, class_file = Path(room) / "images", Path(room) / "classes.txt"
        folder.mkdir()
        for photo in photos:
            (folder / photo.name).symlink_to(photo.absolute())
        class_file.write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
        yield folder, class_file


def find_other_formats(photos):
    """The files beside the photos that the tool writes when another format than Pascal VOC is chosen, sorted."""
    paths = {photo.with_suffix(suffix) for photo in photos for suffix in (".txt", ".json")}
    return sorted(path for path in paths if path.exists())


def label(venv, photos, classes):
    """Runs the tool until its window is closed. The XML files go beside the photos."""
    with lay_out(photos, classes) as (folder, class_file):
        command = [
            venv / "bin" / "python",
            "-I",
            ROOT / "scripts" / "start_labelimg.py",
            folder,
            class_file,
            photos[0].parent.resolve(),
        ]
        environment = {**os.environ, "QT_QPA_PLATFORM": "xcb"}
        done = subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        raise InputError(f"{venv}: the labelling tool ended with {done.returncode}; its message is above")


def main():
    args = parse_arguments()
    photos = find_photos(args.image_dir)
    classes = find_classes(args.labels_path, args.image_dir)
    check_machine(args.venv)
    say(f"classes to choose from: {', '.join(classes)}" if classes else "no classes yet: type each one's name once")
    former = find_other_formats(photos)
    label(args.venv, photos, classes)
    for path in find_other_formats(photos):
        if path not in former:
            say(f"warning: {path}: is not Pascal VOC; choose PascalVOC in the tool's upper bar and save again")
    labelled = sum(photo.with_suffix(".xml").exists() for photo in photos)
    print(f"{args.image_dir}: {labelled} of {len(photos)} photos have an XML file")


if __name__ == "__main__":
    run(main)
