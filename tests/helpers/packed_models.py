"""Models of the zoo, packed as .tar.gz, and download_model.py called for them."""

import io
import subprocess
import sys
import tarfile

from conftest import ROOT
from https_site import make_environment

SCRIPTS = ROOT / "scripts"
NAME = "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8"
FILES = {
    "checkpoint/checkpoint": b'model_checkpoint_path: "ckpt-0"\n',
    "checkpoint/ckpt-0.data-00000-of-00001": bytes(range(256)) * 1000,
    "checkpoint/ckpt-0.index": b"index",
    "pipeline.config": b"model { ssd { num_classes: 90 } }\n",
    "saved_model/saved_model.pb": b"graph",
}


def pack(files, top=NAME, extra=()):
    """The bytes of a .tar.gz of files (path -> bytes) below the folder `top`; `extra` are TarInfos to add first."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for member in extra:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
        for name, content in files.items():
            member = tarfile.TarInfo(f"{top}/{name}" if top else name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def make_member(name, kind=tarfile.REGTYPE, link="", size=0, mode=0o644):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size, member.mode = kind, link, size, mode
    return member


def download(folder, *arguments):
    command = [sys.executable, SCRIPTS / "download_model.py", "-o", "models", "--pause", "0.01", *arguments]
    return subprocess.run(
        [str(part) for part in command], cwd=folder, env=make_environment(), capture_output=True, text=True, check=False
    )


def read_tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def list_names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
