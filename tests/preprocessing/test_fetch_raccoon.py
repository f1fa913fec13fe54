"""fetch_raccoon.py: the 200 photos and XML files side by side, from a folder or from an https server."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from https_site import make_environment, serve_https
from packed_photos import DIGEST, FILES, pack_repository

from fetch_raccoon import SHA256, hash_files

SCRIPT = Path(__file__).parents[2] / "scripts" / "preprocessing" / "fetch_raccoon.py"


def fetch(*arguments):
    command = [str(part) for part in (sys.executable, SCRIPT, *arguments)]
    return subprocess.run(command, env=make_environment(), capture_output=True, text=True, check=False)


def pack_links(name, target):
    """As `pack_repository`, with a link in place of one photo."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for number in range(1, 201):
            for folder, suffix in (("images", ".jpg"), ("annotations", ".xml")):
                member = tarfile.TarInfo(f"top/{folder}/raccoon-{number}{suffix}")
                if member.name.endswith(f"/{name}"):
                    member.type, member.linkname = tarfile.SYMTYPE, target
                archive.addfile(member)
    return packed.getvalue()


def read_folder(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_folder(folder, files):
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_the_files_of_the_repository_land_side_by_side(tmp_path):
    with serve_https() as site:
        site.files["/raccoon"] = pack_repository(FILES)
        done = fetch("-o", tmp_path / "images", "--url", site.address + "/raccoon", "--sha256", DIGEST)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Wrote 400 files into ")
        assert read_folder(tmp_path / "images") == FILES
        again = fetch("-o", tmp_path / "images", "--url", site.address + "/raccoon", "--sha256", DIGEST)
        assert (again.returncode, again.stderr) == (0, f"{tmp_path / 'images'} is up to date (200 photos)\n")
        assert len(site.log) == 1


def test_the_files_of_a_folder_are_copied_and_what_is_there_is_left(tmp_path):
    write_folder(tmp_path / "data", FILES | {"other.txt": b"other"})
    write_folder(tmp_path / "images", {"raccoon-7.xml": b"labelled again", "mine.jpg": b"mine"})
    done = fetch("-o", tmp_path / "images", "--data", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert "holds 1 of the 400 files already: these are left as they are" in done.stderr
    assert read_folder(tmp_path / "images") == FILES | {"raccoon-7.xml": b"labelled again", "mine.jpg": b"mine"}
    assert read_folder(tmp_path / "data") == FILES | {"other.txt": b"other"}


def test_the_real_photos(raccoon_images, tmp_path):
    assert hash_files({path.name: path.read_bytes() for path in raccoon_images.iterdir()}) == SHA256
    assert fetch("-o", tmp_path / "images", "--data", raccoon_images).returncode == 0
    assert read_folder(tmp_path / "images") == read_folder(raccoon_images)


def test_a_folder_without_the_files_is_named(tmp_path):
    write_folder(tmp_path / "data", {"raccoon-1.jpg": b""})
    done = fetch("-o", tmp_path / "images", "--data", tmp_path / "data")
    assert done.returncode == 1
    advice = "give the folder with raccoon-1.jpg, raccoon-1.xml, ..."
    assert done.stderr == f"error: {tmp_path / 'data'}: has no raccoon-1.xml and 398 more; {advice}\n"
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"<html>", "is not a whole .tar.gz file ("),
        (pack_repository(FILES)[:2000], "is not a whole .tar.gz file ("),
        (pack_repository(FILES)[:-8] + bytes(8), "is not a whole .tar.gz file ("),
        (pack_repository({"raccoon-1.jpg": b"1"}), "holds no raccoon-1.xml and 398 more; give the address of"),
        (pack_repository(FILES | {"raccoon-1.jpg": b"another"}), "its files have sha256 "),
        (pack_links("raccoon-7.jpg", "/etc/hostname"), "holds no raccoon-7.jpg; give the address of"),
        (None, "the server says 404 Not Found; check your network, or give --data with a folder"),
    ],
)
def test_a_wrong_archive_is_named(tmp_path, content, message):
    with serve_https() as site:
        if content is not None:
            site.files["/raccoon"] = content
        done = fetch("-o", tmp_path / "images", "--url", site.address + "/raccoon", "--sha256", DIGEST)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(f"error: {site.address}/raccoon: {message}")
        assert list((tmp_path / "images").iterdir()) == []
