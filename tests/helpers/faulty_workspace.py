"""A data set with every fault that check_dataset.py knows, for its tests."""

import io
import os
import random
import shutil

from conftest import draw_photo, label_photo
from hostile_images import make_png_of_30000_pixels_a_side
from PIL import ExifTags, Image

from tfod.data.label_map import write_label_map
from tfod.data.voc import Box, write_annotation

SCRIPT = "preprocessing/check_dataset.py"


def draw_scene(number, size=(96, 64)):
    """A picture that looks like no other one: coarse coloured noise."""
    noise = Image.frombytes("RGB", (16, 12), random.Random(number).randbytes(16 * 12 * 3))
    return noise.resize(size, Image.Resampling.BICUBIC)


def put_photo(folder, name, number, boxes=None, **saving):
    """Saves the scene of that number as `folder/name`, with its XML file: one box unless `boxes` are given."""
    boxes = [Box("cat" if number % 2 else "dog", 10, 10, 60, 50)] if boxes is None else boxes
    return label_photo(folder, name, boxes=boxes, photo=draw_scene(number), **saving)


def edit_text(path, *replacements):
    """Replaces texts of a file, each a pair (old, new) of which the old one must be there."""
    text = path.read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def save(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def make_faulty_workspace(room):
    """A workspace with every fault in a file of its own; its images/ folder."""
    images = room / "images"
    train, test = images / "train", images / "test"
    numbers = iter(range(1, 1000))
    for i in range(12):
        put_photo(train, f"sound-{i}.jpg", next(numbers))
        put_photo(test, f"fine-{i}.jpg", next(numbers))

    def put_wrong(name, *replacements, boxes=None):
        number = next(numbers)
        boxes = [Box("cat", 10, 10, 60, 50)] if boxes is None else boxes
        path = put_photo(train, f"{name}.jpg", number, boxes)
        edit_text(path.with_suffix(".xml"), *replacements)
        return path

    put_wrong("no-xml").with_suffix(".xml").write_text("<annotation>")
    put_wrong("no-voc").with_suffix(".xml").write_text("<html/>")
    put_wrong("no-content").with_suffix(".xml").write_text("<annotation><folder/></annotation>")
    put_wrong("entity").with_suffix(".xml").write_text(
        "<!DOCTYPE annotation [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><annotation><filename>&e;</filename></annotation>"
    )
    put_wrong("hidden", ("<name>cat<", "<name>tac\u202e<"))
    put_wrong("deep").with_suffix(".xml").write_text("<annotation>" + "<object>" * 100_000)
    os.truncate(put_wrong("huge").with_suffix(".xml"), 17_000_000)
    put_wrong("box-missing", ("<xmin>10</xmin>", ""))
    put_wrong("box-text", ("<xmin>10<", "<xmin>ten<"))
    put_wrong("box-nan", ("<ymin>10<", "<ymin>NaN<"))
    put_wrong("box-inf", ("<ymax>50<", "<ymax>inf<"))
    put_wrong("box-flat", ("<xmax>60<", "<xmax>10<"))
    put_wrong("box-swapped", ("<xmax>60<", "<xmax>5<"))
    put_wrong("box-nameless", ("<name>cat</name>", ""))
    put_wrong("box-none", ("<bndbox>", "<polygon>"), ("</bndbox>", "</polygon>"))
    put_wrong("box-outside", ("<xmax>60<", "<xmax>98<"))
    put_wrong("box-overhangs", ("<xmax>60<", "<xmax>97<"))
    put_wrong("flag", ("<difficult>0<", "<difficult>often<"))
    put_wrong("class", ("<name>cat<", "<name>catt<"))
    put_wrong("size", ("<width>96<", "<width>640<"))
    put_wrong("size-text", ("<width>96<", "<width>wide<"))
    put_wrong("full-path", ("<filename>full-path.jpg<", "<filename>C:\\photos\\full-path.jpg<"))
    put_wrong("filename", ("<filename>filename.jpg<", "<filename>other.jpg<"))
    put_wrong("path", ("<path>path.jpg<", "<path>C:\\photos\\other.jpg<"))
    put_wrong("double", boxes=[Box("cat", 10, 10, 60, 50), Box("dog", 10, 10, 60, 50), Box("cat", 10, 10, 60, 50)])
    put_wrong("tiny", boxes=[Box("cat", 10, 10, 12, 50)])
    put_wrong("many", boxes=[Box("cat", i / 2, 0, i / 2 + 30, 60) for i in range(101)])
    put_wrong("negative", boxes=[])
    put_wrong("flagged", boxes=[Box("cat", 10, 10, 60, 50, difficult=1, truncated=1)])

    damaged = put_wrong("damaged")
    damaged.write_bytes(damaged.read_bytes()[:-300])
    for name, content in {
        "empty": b"",
        "text": b"<html>404</html>",
        "drawing": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "phone": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200),
        "web": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(200),
    }.items():
        put_wrong(name).write_bytes(content)
    put_wrong("bomb").write_bytes(make_png_of_30000_pixels_a_side())
    put_wrong("really-a-gif").write_bytes(save(draw_scene(next(numbers)), "GIF"))
    put_wrong("no-image").unlink()
    put_wrong("no-label").with_suffix(".xml").unlink()
    shutil.copy(put_wrong("two-images"), train / "two-images.jpeg")
    write_annotation(train / "two-xml-again.xml", put_wrong("two-xml").name, 96, 64, [])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    put_photo(train, "turned.jpg", next(numbers), exif=exif)
    write_annotation(train / "turned.xml", "turned.jpg", 64, 96, [Box("cat", 10, 10, 50, 60)])
    (train / "folder.jpg").mkdir()
    os.mkfifo(train / "pipe.png")
    (train / "link.jpg").symlink_to("nowhere.jpg")
    (train / "loop.jpg").symlink_to("loop.jpg")
    draw_photo().save(train / os.fsdecode(b"\xe8.jpg"))

    put_photo(train, "both.png", 900)
    label_photo(test, "both too.png", photo=draw_scene(900), boxes=[], compress_level=1)
    put_photo(train, "nearly.jpg", 901, quality=95)
    label_photo(test, "nearly too.jpg", photo=draw_scene(901, (192, 128)), boxes=[], quality=60)
    put_photo(test, "unlike.jpg", next(numbers), [Box("bird", 10, 10, 60, 50), Box("Cat", 10, 10, 60, 50)])

    put_photo(images, "new.jpg", next(numbers))
    for suffix in (".jpg", ".xml"):
        shutil.copy2(train / f"sound-0{suffix}", images)
    put_photo(images, "sound-1.jpg", next(numbers))
    write_label_map(room / "label_map.pbtxt", {"bird": 1, "cat": 2, "dog": 3})
    return images
