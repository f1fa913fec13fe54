"""Thousands of damaged files: each ends in a clean result or in a named fault, soon, and nothing else is touched."""

import hashlib
import io
import random
import re
import time

import pytest
from conftest import draw_photo, label_photo
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from lxml import etree
from PIL import Image

from tfod.data.images import check_image, read_image, read_small
from tfod.data.label_map import find_near_name, read_label_map
from tfod.data.labelled_images import check_photo
from tfod.data.voc import Box, find_images_of, write_annotation
from tfod.utils.console import Fault, InputError, find_hidden

SEED = 20240229
SECONDS = 20  # of a core, for one file; most take a thousandth
# What breaks parsers, or means something to one of them
TOKENS = [
    *(b"<", b">", b"&", b"]]>", b"<![CDATA[", b"<!--", b"-->", b"<?x?>", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n"),
    *(b"&#0;", b"&#x110000;", b"&lol;", b"<!DOCTYPE annotation [<!ENTITY lol 'lol'>]>", b"%n%s", b"{}", b"\x1b[2J"),
    *(b"nan", b"-inf", b"1e999", b"-0", b"1e308", b"9" * 400, b"0x1f", b"1_0", b"", b" ", "\u0663".encode()),
    *(b"<object>", b"</object>", b"<bndbox>", b"<xmin>5</xmin>", b"<size/>", b"<name/>", b"<a>" * 300, b"<filename>"),
    *(b"../../etc/passwd", b"/etc/passwd", b"C:\\a.jpg", b"..", b"a.jpg", b"\xe7\x8c\xab", b"'", b'"', b"item {", b"}"),
    *(b"id: -1", b"id: 99999999999", b"name: ''", b"\xff\xd9", b"\xff\xd8", b"\xff\xda\0\0", b"IEND", b"IHDR", b"\x80"),
]
WORD = re.compile(rb"(?<=[>:'\" ])[\w.]+(?=[<'\"\n])")  # what stands between two tags, in quotes or after a colon


def mutate(chance, data):
    """`data` with one to six changes: a word replaced, bytes flipped, cut out, doubled, moved, or tokens put in."""
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.choice((1, 1, 2, 8, 40, 400)))
        match chance.randrange(10):
            case 0 | 1:
                for i in range(start, end):
                    data[i] = chance.randrange(256)
            case 2 | 3:
                data[start : end if chance.random() < 0.5 else start] = chance.choice(TOKENS)
            case 4:
                del data[start:end]
            case 5:
                data[start:start] = data[start:end] * chance.choice((1, 2, 50))
            case 6:
                place = chance.randint(0, len(data))
                data[place:place] = data[start:end]
            case _:
                if word := WORD.search(data, start):
                    data[word.start() : word.end()] = chance.choice((*TOKENS, b"cat", b"7", b"-3", b"96.5", b"97"))
    if chance.random() < 0.05:
        del data[chance.randint(0, len(data)) :]
    return bytes(data)


def fuzz(number):
    """Calls the function that it decorates, of a random.Random, for so many seeds: the same ones every time.

    Hypothesis draws the seeds, and prints the one that a failure came with.
    """

    def call(test):
        generate = settings(
            max_examples=number,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),  # they are about examples that take long to draw
        )
        seeds = []

        @seed(SEED)
        @generate
        @given(st.integers(0, 2**64 - 1))
        def run(chosen):
            seeds.append(chosen)
            test(random.Random(chosen))

        run()
        assert len(set(seeds)) == number

    return call


def expect_named(faults, *paths):
    for fault in faults:
        assert isinstance(fault, Fault), fault
        assert fault.file in map(str, paths)
        assert fault.startswith(f"{fault.file}: ") and "; " in fault, fault
        assert not find_hidden(fault), ascii(fault)  # one line, and nothing that a terminal obeys


class Stopwatch:
    """Lets a block of code take SECONDS at most."""

    def __enter__(self):
        self.started = time.process_time()

    def __exit__(self, *_):
        assert time.process_time() - self.started < SECONDS


def list_files(folder):
    return {path: path.stat().st_mtime_ns if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def room(tmp_path):
    """A folder images/ with a photo a.jpg of 96 x 64 pixels, and beside it a file that nobody may touch."""
    label_photo(tmp_path / "images", "a.jpg")
    (tmp_path / "outside.txt").write_text("mine")
    return tmp_path


def make_annotations(folder):
    """The bytes of annotations to begin with, as several tools write them."""
    boxes = [Box("cat", 8, 8, 38, 28), Box("dog", 0, 0, 96, 64, 1, 1, "Left")]
    write_annotation(folder / "seed.xml", "a.jpg", 96, 64, boxes)
    plain = (folder / "seed.xml").read_bytes()
    (folder / "seed.xml").unlink()
    return [
        plain,
        b'<?xml version="1.0" encoding="utf-16"?>'.decode().encode("utf-16") + plain.decode().encode("utf-16")[2:],
        b"<!DOCTYPE annotation [<!ENTITY e 'x'><!ENTITY f SYSTEM 'outside.txt'>]>" + plain.replace(b"cat", b"&e;&f;"),
        plain.replace(b"\t", b"").replace(b"\n", b""),
    ]


def test_two_thousand_xml_files(room):
    from tfod.data.checks import look_at
    from tfod.data.fixes import make_fix, write_fix

    image, xml, fixed = room / "images/a.jpg", room / "images/a.xml", room / "fixed"
    seeds = make_annotations(room)
    before = list_files(room)
    clean = corrected = 0

    @fuzz(2000)
    def damage(chance):
        nonlocal clean, corrected
        xml.write_bytes(mutate(chance, chance.choice(seeds)))
        with Stopwatch():
            photo, names, faults, warnings = check_photo(image, xml, decode=False)
            _, more = find_images_of([xml.with_name("a.xml")], [room / "images/other.jpg"])
        assert (photo is None) == bool(faults)
        expect_named([*faults, *warnings, *more], xml, image)
        assert all(isinstance(name, str) and name for name in names)
        if photo:
            clean += 1
            for box in photo.boxes:
                assert 0 <= box.xmin < box.xmax <= 96 and 0 <= box.ymin < box.ymax <= 64
                assert {box.difficult, box.truncated} <= {0, 1}
        if fix := make_fix(look_at(("", image, xml)), {"cat": 1, "dog": 2}):
            corrected += 1
            expect_named(write_fix(fix, fixed, fixed, {"cat": 1, "dog": 2}), fixed / "a.xml", fixed / "a.jpg")
            etree.parse(fixed / "a.xml")

    assert 100 < clean < 1900 and corrected > 10  # neither always nor never
    after = {path: time for path, time in list_files(room).items() if fixed not in (path, *path.parents)}
    before[xml] = after[xml]
    assert after == before
    assert {path.name for path in fixed.iterdir()} == {"a.jpg", "a.xml"}


@pytest.mark.filterwarnings("ignore")  # Pillow warns of some damage before it raises
def test_six_hundred_images(room):
    seeds = []
    for kind, options in (("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("PNG", {"bits": 4})):
        for mode in ("RGB", "L", "P" if kind == "PNG" else "CMYK"):
            file = io.BytesIO()
            exif = Image.Exif()
            exif[0x0112] = 6
            draw_photo(3).convert(mode).save(file, kind, exif=exif, **options)
            seeds.append(file.getvalue())
    path = room / "images/a.jpg"
    before = list_files(room)
    clean = 0

    @fuzz(600)
    def damage(chance):
        nonlocal clean
        path.write_bytes(mutate(chance, chance.choice(seeds)))
        ends = []
        for read in (
            read_image,
            lambda path: read_small(path, (20, 20)),
            check_image,
            lambda path: check_image(path, decode=False),
        ):
            with Stopwatch():
                try:
                    ends.append(read(path))
                except InputError as error:
                    expect_named(error.faults, path)
                    ends.append(None)
        whole, small, checked, header = ends
        assert bool(whole) == bool(small) == bool(checked)  # the fast looks find what the whole one does
        if whole:
            clean += 1
            assert whole.mode == small[0].mode == "RGB" and whole.size == checked.upright_size
            assert small[1] == checked == header

    assert 30 < clean < 570
    before[path] = list_files(room)[path]
    assert list_files(room) == before


def test_four_hundred_label_maps(room):
    whole = b"item {\n  id: 1\n  name: 'cat'\n}\n# pets\nitem {\n  name: \"/m/01\"\n  id: 2\n  display_name: 'dog'\n}\n"
    path = room / "label_map.pbtxt"
    path.touch()
    before = list_files(room)
    clean = 0

    @fuzz(400)
    def damage(chance):
        nonlocal clean
        path.write_bytes(mutate(chance, whole))
        with Stopwatch():
            try:
                names_to_ids = read_label_map(path)
            except InputError as error:
                expect_named(error.faults, path)
                return
        clean += 1
        assert names_to_ids and all(name and number > 0 for name, number in names_to_ids.items())
        assert len(set(names_to_ids.values())) == len(names_to_ids)
        find_near_name("cta", names_to_ids)

    assert 20 < clean < 380
    before[path] = list_files(room)[path]
    assert list_files(room) == before


@pytest.mark.parametrize("number", range(6))
def test_whole_scripts(call, room, number):
    """Some damaged files among sound ones: the scripts end with 0 or 1, with the records whole or not at all."""
    chance = random.Random(SEED + number)
    images = room / "images"
    for i in range(5):
        label_photo(images, f"{i}.jpg", i)
    label_map = b"item { id: 1 name: 'cat' } item { id: 2 name: 'dog' }"
    (room / "map.pbtxt").write_bytes(mutate(chance, label_map) if number == 5 else label_map)
    damaged = [images / "3.xml", images / "4.jpg"][: number % 3]
    for path in damaged:
        path.write_bytes(mutate(chance, path.read_bytes()))
    before = list_files(room)
    ends = []
    for script, *arguments in (
        ("check_dataset.py", "-i", "images", "-l", "map.pbtxt", "--json", "out/check.json", "--fix", "out/fixed"),
        ("generate_tfrecord.py", "-x", "images", "-l", "map.pbtxt", "-o", "out/a.record", "-c", "out/a.csv"),
    ):
        done = call(f"preprocessing/{script}", *arguments, cwd=room)
        ends.append(done.returncode)
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert "error: " in done.stderr
    assert ends[0] or not ends[1]  # what passes the check can be packed
    written = {path for path in list_files(room) if path not in before}
    assert {path: time for path, time in list_files(room).items() if path in before} == before
    assert all((room / "out") in (path, *path.parents) for path in written)
    records = {path.name for path in written if path.suffix in (".record", ".csv") and path.is_file()}
    assert records == (set() if ends[1] else {"a.record", "a.csv"})
    assert not [path for path in written if ".tmp" in path.name]
    if not number % 3 and number < 5:
        assert ends == [0, 0]


def test_the_mutations_are_the_same_everywhere():
    """So that a failure can be looked into on another machine, and on every Python that is supported."""
    chance = random.Random(SEED)
    damaged = b"".join(mutate(chance, b"<name>cat</name>" * 20) for _ in range(200))
    assert hashlib.sha256(damaged).hexdigest().startswith("e5d017fee2fc6d64")
