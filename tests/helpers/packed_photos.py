"""The repository of the raccoon photos, packed as .tar.gz, with small files in place of the photos."""

import hashlib
import io
import tarfile

FILES = {f"raccoon-{n}{suffix}": f"{n}{suffix}".encode() for n in range(1, 201) for suffix in (".jpg", ".xml")}
DIGEST = hashlib.sha256(b"".join(hashlib.sha256(FILES[name]).digest() for name in sorted(FILES))).hexdigest()


def pack_repository(files):
    """The bytes of a .tar.gz as the repository's: photos and XML files in folders of their own, and other things."""
    packed = io.BytesIO()
    others = {"README.md": b"read me", "images/raccoon-999.jpg": b"not one of them", "data/raccoon-1.jpg": b"another"}
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in (others | files).items():
            folder = "" if name in others else "images/" if name.endswith(".jpg") else "annotations/"
            member = tarfile.TarInfo(f"raccoon_dataset-9393884/{folder}{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()
