"""What the tests of convert_annotations.py share: photos with the names that people give, and classes."""

from conftest import draw_photo

SCRIPT = "preprocessing/convert_annotations.py"
NAMES = {
    "a photo.jpg": (96, 64),
    "猫/浣熊 1.png": (333, 457),
    "deep/er/x.y.JPG": (31, 17),
    "deep/nothing.png": (50, 40),
}
CLASSES = {"zebra": 1, "浣熊": 2, "traffic light": 3, "never seen": 4}


def draw_photos(folder):
    """Draws the photos of NAMES (name -> width, height in pixels) below `folder`, sub-folders and all: the folder."""
    for number, (name, size) in enumerate(NAMES.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draw_photo(number, size).save(folder / name)
    return folder
