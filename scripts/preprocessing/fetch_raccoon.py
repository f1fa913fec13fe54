"""Gets the tutorial's data set: 200 photos of raccoons with their labelImg XML files, side by side.

They are of github.com/datitran/raccoon_dataset (MIT licence). With --data they are copied from a folder of this disk
instead. What is there already is left as it is.

    python scripts/preprocessing/fetch_raccoon.py -o images
"""

import hashlib
import re
import shutil
from pathlib import Path

from tfod.utils.console import InputError, describe_os_error, make_parser, run, say
from tfod.utils.download import fetch, open_tarball, take_turn
from tfod.utils.files import write_whole

COMMIT = "93938849301895fb73909842ba04af9b602f677a"
URL = f"https://codeload.github.com/datitran/raccoon_dataset/tar.gz/{COMMIT}"
NAMES = {f"raccoon-{number}{suffix}" for number in range(1, 201) for suffix in (".jpg", ".xml")}
# of the 400 files at that commit, whatever the archive around them is: see hash_files
SHA256 = "105bf86e304fd66a0f8e14c03c4fe4a8d09867ff7eae298712ed80851b6b4d4b"
MOST_BYTES = 10**7  # of a photo; the largest has a twentieth of that
MOST_UNPACKED = 10**9  # of the archive; the 400 files take 13 MB of it


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for photos and XML files"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--data", type=Path, metavar="FOLDER", help="a folder of this disk that holds them side by side"
    )
    source.add_argument("--url", default=URL, help="https address of the repository as .tar.gz")
    parser.add_argument("--sha256", default=SHA256, help="what the downloaded files' sha256 together must be")
    return parser.parse_args()


def hash_files(files):
    """The sha256 of the sha256 sums, in the order of the names, of a dict name -> bytes."""
    sums = (hashlib.sha256(files[name]).digest() for name in sorted(files))
    return hashlib.sha256(b"".join(sums)).hexdigest()


def copy_files(folder, output, wanted):
    """Copies the wanted files from a folder of this disk."""
    if missing := sorted(name for name in wanted if not (folder / name).is_file()):
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise InputError(f"{folder}: has no {missing[0]}{more}; give the folder with raccoon-1.jpg, raccoon-1.xml, ...")
    for name in wanted:
        with write_whole(output / name) as fresh:
            shutil.copyfile(folder / name, fresh)


def unpack_files(tarball, output, wanted, url, digest):
    """Writes the wanted files of the repository's .tar.gz, TOP/images/*.jpg and TOP/annotations/*.xml."""
    found = {}  # 13 MB in all; nothing is written before the whole archive is known to be sound
    with open_tarball(tarball, url, most_bytes=MOST_UNPACKED, advice="run this again") as members:
        for member, file in members:
            # only names that lead nowhere else
            match = re.fullmatch(r"[^/]+/(?:images/(raccoon-\d+\.jpg)|annotations/(raccoon-\d+\.xml))", member.name)
            name = match and (match[1] or match[2])
            if name in NAMES and file and member.size <= MOST_BYTES:
                found[name] = file.read()
    if missing := sorted(NAMES - set(found)):
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise InputError(f"{url}: holds no {missing[0]}{more}; give the address of raccoon_dataset at {COMMIT[:7]}")
    if hash_files(found) != digest:
        raise InputError(
            f"{url}: its files have sha256 {hash_files(found)}, not {digest}; they were changed: don't use it"
        )
    for name in wanted:
        with write_whole(output / name) as fresh:
            fresh.write_bytes(found[name])


def get_files(wanted, output, arguments):
    """Brings the wanted files from where the arguments say."""
    if not wanted:
        return
    if len(wanted) < len(NAMES):
        say(f"{output} holds {len(NAMES) - len(wanted)} of the {len(NAMES)} files already: these are left as they are")
    try:
        if arguments.data:
            copy_files(arguments.data, output, wanted)
            return
        tarball = output / ".raccoon.tar.gz"
        advice = "or give --data with a folder that holds the photos and XML files side by side"
        try:
            fetch(arguments.url, tarball, advice=f"check your network, {advice}")
            unpack_files(tarball, output, wanted, arguments.url, arguments.sha256)
        finally:
            tarball.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(describe_os_error(error, output)) from error


def list_wanted(output):
    """The names of the files that `output` lacks, sorted."""
    return sorted(name for name in NAMES if not (output / name).exists())


def main():
    arguments = parse_arguments()
    output = arguments.output
    wanted = list_wanted(output)
    if wanted:
        with take_turn(output):
            wanted = list_wanted(output)  # of which another run may have brought some meanwhile
            get_files(wanted, output, arguments)
    if not wanted:
        say(f"{output} is up to date ({len(NAMES) // 2} photos)")
        return
    print(f"Wrote {len(wanted)} files into {output}: {len(NAMES) // 2} photos and their XML files are there")


if __name__ == "__main__":
    run(main)
