"""Puts a pretrained detector into pre_trained_models/NAME: checkpoint/, saved_model/ and pipeline.config.

MODEL is a name of the TF2 Detection Zoo (`make models` lists them), an https address of a .tar.gz, or a .tar.gz on
this disk. A download that breaks off goes on where it stopped, in a later run too. Its sha256 must be the one that is
known of this model; where none is known, the first download's is noted in pre_trained_models/SHA256SUMS, and later
ones of the same name are held to it.

    python scripts/download_model.py ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8
"""

import argparse
import difflib
import re
import shutil
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from tfod.config.zoo import HOME, MODELS, get_address
from tfod.utils.console import InputError, make_parser, run, say
from tfod.utils.download import MOST_BYTES, check_member, fetch, open_tarball, take_turn
from tfod.utils.files import read_bytes, sha256, write_text, write_whole

ARCHIVE = ".tar.gz"
HOST = urlsplit(HOME).hostname


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("model", metavar="MODEL", help="name of the zoo, https address or .tar.gz file")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("pre_trained_models"), metavar="DIR", help="folder for NAME/"
    )
    parser.add_argument(
        "--mirror",
        default=HOME,
        metavar="URL",
        help="https address that a name is looked for under: the zoo, or a copy of it, as URL/DATE/NAME.tar.gz",
    )
    parser.add_argument(
        "--sha256", type=parse_sha256, help="what the .tar.gz file's sha256 must be; then its size is not looked at"
    )
    parser.add_argument("--retries", type=int, default=3, help="how many times to try a broken download again")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds before the first of these; then it doubles")
    arguments = parser.parse_args()
    if arguments.retries < 0:
        parser.error("--retries must be 0 or more")
    if not 0 <= arguments.pause <= 3600:
        parser.error("--pause must be 0 to 3600 seconds")
    if not re.fullmatch(r"https://[^/?#\s]+[^?#\s]*", arguments.mirror, re.IGNORECASE):
        parser.error(f"--mirror {arguments.mirror!r} is not an https address")
    return arguments


def parse_sha256(text):
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not 64 hexadecimal digits")
    return text.lower()


def find_source(model, mirror=HOME):
    """(name, address or None, path of the file on this disk or None) of what the MODEL argument means."""
    if "://" in model:
        if model.lower().startswith(f"http://{HOST}/"):  # as the zoo's own page has them
            model = "https" + model[len("http") :]
            say(f"{HOST} answers https, too: taking {model}")
        try:
            file_name = unquote(PurePosixPath(urlsplit(model).path).name)
        except ValueError as error:
            raise InputError(f"{model}: is not an address ({error}); give that of a model's {ARCHIVE} file") from error
        if not model.lower().startswith("https://"):
            raise InputError(f"{model}: is not an https address; use one, or fetch it by hand and give the file")
        if not file_name.endswith(ARCHIVE) or not is_name(file_name.removesuffix(ARCHIVE)):
            raise InputError(f"{model}: does not end with NAME{ARCHIVE}; give the address of a model's {ARCHIVE} file")
        return file_name.removesuffix(ARCHIVE), model, None
    path = Path(model)
    if path.name.endswith(ARCHIVE) and is_name(path.name.removesuffix(ARCHIVE)):
        if not path.is_file():
            raise InputError(f"{model}: no such file; give a model's {ARCHIVE} file, or its name in the zoo")
        return path.name.removesuffix(ARCHIVE), None, path
    if model in MODELS:
        if MODELS[model].family == "ExtremeNet":
            advice = "take centernet_hg104_512x512_coco17_tpu-8, which was trained from it"
            raise InputError(f"{model}: is a checkpoint alone, without a pipeline.config to train it with; {advice}")
        return model, get_address(model, mirror), None
    near = [name for name in MODELS if model.lower() in name] or difflib.get_close_matches(model, MODELS, cutoff=0)
    raise InputError(f"{model}: is not a model of the TF2 Detection Zoo; did you mean {', '.join(near[:5])}?")


def is_name(name):
    """Whether a folder can have this name, here and on other systems."""
    return 0 < len(name) < 200 and name[0] != "." and not set(name) & set("/\\") and name.isprintable()


def list_missing_parts(folder):
    """The parts of a TF2 detection model that `folder` lacks."""
    parts = ("pipeline.config", "checkpoint/ckpt-*.index", "checkpoint/ckpt-*.data-*")
    return [part for part in parts if not any(path.is_file() for path in folder.glob(part))]


def read_sums(path):
    """The name -> sha256 pairs of a SHA256SUMS file."""
    if not path.exists():
        return {}
    sums = {}
    for number, line in enumerate(read_bytes(path).decode(errors="replace").splitlines(), start=1):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        if not match:
            raise InputError(
                f"{path}:{number}: is not `SHA256  NAME`, as sha256sum writes it; correct or delete the line"
            )
        sums[match[2]] = match[1]
    return sums


def check_sums(digest, file_name, sums_path, wanted):
    """Raises InputError unless `digest` is the right one.

    `wanted` is what the person asked for, or None. A sum in the catalogue comes before that of an earlier download.
    """
    model = MODELS.get(file_name.removesuffix(ARCHIVE))
    changed = "it was damaged or changed: do not use it"
    if wanted and digest != wanted:
        raise InputError(f"{file_name}: has sha256 {digest}, not {wanted}; {changed}")
    if model and model.sha256:
        if digest != model.sha256:
            raise InputError(f"{file_name}: has sha256 {digest}, but the zoo's model has {model.sha256}; {changed}")
        return
    noted = read_sums(sums_path).get(file_name, digest)
    if noted != digest:
        advice = "if you trust the new one, delete its line there"
        raise InputError(
            f"{file_name}: has sha256 {digest}, but {sums_path} has {noted} from an earlier download; {advice}"
        )


def check_size(tarball, file_name):
    """Raises InputError if a local file has not the size of the zoo's file of that name, where that is known."""
    model = MODELS.get(file_name.removesuffix(ARCHIVE))
    size = tarball.stat().st_size
    if model and model.bytes and size != model.bytes:
        advice = "fetch it again; or, if it is the one you want, say so with --sha256"
        raise InputError(f"{tarball}: has {size} bytes, but the zoo's model has {model.bytes}; {advice}")


def unpack(tarball, folder, name):
    """Unpacks a .tar.gz into the new `folder`. Raises InputError if it is broken, or would touch what is outside."""
    folder.mkdir()
    with open_tarball(tarball, name) as members:
        for member, file in members:
            check_member(member, name)
            # Not archive.extract(): on Python before 3.11.4 it sets the owners and permissions that the archive says.
            target = folder / member.name
            (target.parent if file else target).mkdir(parents=True, exist_ok=True)
            if file:
                with target.open("wb") as written:
                    shutil.copyfileobj(file, written)


def install(tarball, name, target):
    """Makes the folder `target` of what the .tar.gz holds, whatever its own top folder is called.

    `name` is what errors call the archive. The folder appears whole or not at all.
    """
    with write_whole(target) as fresh:
        unpacked = fresh.with_name("unpacked." + fresh.name)
        unpack(tarball, unpacked, name)
        folders = [unpacked, *sorted(path for path in unpacked.iterdir() if path.is_dir())]
        best = min(folders, key=lambda folder: len(list_missing_parts(folder)))
        if missing := list_missing_parts(best):
            raise InputError(
                f"{name}: holds no {', no '.join(missing)}; give the {ARCHIVE} file of a TF2 detection model"
            )
        best.rename(fresh)
    if not (target / "saved_model" / "saved_model.pb").is_file():
        say(f"{name}: holds no saved_model/saved_model.pb; it can be trained further, but not run as it is")


def download(name, address, folder, arguments):
    """Fetches the .tar.gz at `address`, makes folder/NAME of it and notes its sha256, which is returned."""
    file_name, sums_path, model = name + ARCHIVE, folder / "SHA256SUMS", MODELS.get(name)
    fetched = folder / f".{file_name}"
    advice = f"fetch it by hand, then: python scripts/download_model.py {file_name} -o {folder}"
    try:
        digest = fetch(
            address,
            fetched,
            arguments.sha256,
            arguments.retries,
            arguments.pause,
            advice,
            size=model.bytes if model and not arguments.sha256 else None,
            most=MOST_BYTES,
        )
        check_sums(digest, file_name, sums_path, None)
        say(f"unpacking {file_name} ({fetched.stat().st_size / 1e6:.1f} MB)")
        install(fetched, address, folder / name)
    finally:
        fetched.unlink(missing_ok=True)
    with take_turn(sums_path):
        sums = read_sums(sums_path) | {file_name: digest}
        write_text(sums_path, "".join(f"{sums[key]}  {key}\n" for key in sorted(sums)))
    return digest


def get(name, address, tarball, arguments):
    """Makes the folder NAME of what is at `address`, or in the file `tarball`; the sha256 of that."""
    if not tarball:
        return download(name, address, arguments.output, arguments)
    file_name = name + ARCHIVE
    if not arguments.sha256:
        check_size(tarball, file_name)
    digest = sha256(tarball)
    check_sums(digest, file_name, arguments.output / "SHA256SUMS", arguments.sha256)
    install(tarball, str(tarball), arguments.output / name)
    return digest


def check_installed(target, file_name, arguments):
    """Raises InputError if the folder `target` is not a model, or of another file than the one asked for."""
    if missing := list_missing_parts(target):
        raise InputError(f"{target}: has no {', no '.join(missing)}; move it away or delete it, and run this again")
    sums_path = arguments.output / "SHA256SUMS"
    if arguments.sha256 and file_name in read_sums(sums_path):
        check_sums(read_sums(sums_path)[file_name], file_name, sums_path, arguments.sha256)
    elif arguments.sha256:
        say(f"warning: {target}: the sha256 of the file it came from was not noted; delete it to check it")


def main():
    arguments = parse_arguments()
    name, address, tarball = find_source(arguments.model, arguments.mirror)
    target, file_name = arguments.output / name, name + ARCHIVE
    if not target.exists():
        with take_turn(target):
            if not target.exists():  # another run may have downloaded it meanwhile
                digest = get(name, address, tarball, arguments)
                print(f"sha256 {digest}  {file_name}")
                print(f"Wrote {target}")
                return
    check_installed(target, file_name, arguments)
    say(f"{target} is there already")


if __name__ == "__main__":
    run(main)
