"""Starts labelImg++; label.py runs it, in the tool's own environment.

labelImg++ 3.5.0 shows a photo turned as its EXIF data say, and boxes are drawn on it so, but as <size> it writes the
width and height of the file as stored. The boxes would then pass for ones of the lying photo. Here it gets the photo
upright when it saves, and its own path instead of that of label.py's link to it.
"""

import sys
from pathlib import Path

from labelImgPlusPlus import main
from libs.formats.labelFile import LabelFile
from PyQt5.QtGui import QImageReader

save_as_stored = LabelFile.save_pascal_voc_format


def save_upright(self, filename, shapes, image_path, image_data, *rest, **named):
    link = Path(image_path)
    if link.parent == Path(sys.argv[1]):
        image_path = str(link.readlink())
    reader = QImageReader(image_path)
    reader.setAutoTransform(True)
    return save_as_stored(self, filename, shapes, image_path, reader.read(), *rest, **named)


LabelFile.save_pascal_voc_format = save_upright
sys.exit(main())
