"""XML, JSON and CSV files in the encodings that Windows' programs write, and scripts where the locale is C."""

import codecs
import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT, label_photo

from tfod.data.label_map import read_label_map, write_label_map
from tfod.data.voc import Box, read_annotation
from tfod.utils.console import InputError

pytestmark = pytest.mark.attack
CONVERT = "preprocessing/convert_annotations.py"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gbk", "utf-32"])
def test_xml_in_every_encoding_that_it_names(tmp_path, encoding):
    label_photo(tmp_path, "a.jpg", boxes=[Box("猫", 8, 8, 38, 28)])
    xml = tmp_path / "a.xml"
    declared = encoding.removesuffix("-sig").removesuffix("-le").removesuffix("-be")
    text = f'<?xml version="1.0" encoding="{declared}"?>\n' + xml.read_text(encoding="utf-8")
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding, b"")
    xml.write_bytes(mark + text.encode(encoding))
    (box,) = read_annotation(xml).boxes
    assert box == Box("猫", 8, 8, 38, 28)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_with_a_mark_and_in_utf16(call, tmp_path, encoding):
    label_photo(tmp_path / "images", "a.jpg", boxes=[Box("猫", 8, 8, 38, 28)])
    for words in (["voc", "--to", "coco", "-o", "a.json"], ["coco", "-a", "a.json", "--to", "voc", "-o", "xml"]):
        done = call(CONVERT, "-i", "images", "--from", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        if (tmp_path / "xml").exists():
            break
        text = json.dumps(json.loads((tmp_path / "a.json").read_bytes()), ensure_ascii=False)
        (tmp_path / "a.json").write_bytes(text.encode(encoding))
    assert read_annotation(tmp_path / "xml/a.xml").boxes[0].name == "猫"


def test_csv_with_a_mark_is_read_and_in_utf16(call, tmp_path):
    label_photo(tmp_path / "images", "a.jpg", boxes=[Box("猫", 8, 8, 38, 28)])
    assert call(CONVERT, "-i", "images", "--from", "voc", "--to", "csv", "-o", "a.csv", cwd=tmp_path).returncode == 0
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    words = ["-i", "images", "--from", "csv", "-a", "a.csv", "--to", "voc", "-o", "xml"]
    (tmp_path / "a.csv").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert call(CONVERT, *words, cwd=tmp_path).returncode == 0
    assert read_annotation(tmp_path / "xml/a.xml").boxes[0].name == "猫"
    (tmp_path / "a.csv").write_bytes(text.encode("utf-16"))
    (tmp_path / "xml/a.xml").unlink()
    assert call(CONVERT, *words, cwd=tmp_path).returncode == 0
    assert read_annotation(tmp_path / "xml/a.xml").boxes[0].name == "猫"


def test_a_label_map_in_utf16_is_named(tmp_path):
    path = tmp_path / "map.pbtxt"
    path.write_bytes("item { id: 1 name: '猫' }".encode("utf-16"))
    with pytest.raises(InputError, match=r"map.pbtxt: is not in UTF-8; save it in that encoding"):
        read_label_map(path)


def test_where_the_locale_is_c(tmp_path):
    """Texts are read and written in UTF-8 all the same; a file name that Python can't have there is named."""
    for number in range(4):
        label_photo(tmp_path / "images", f"{number}.jpg", number, [Box("猫" if number % 2 else "été", 8, 8, 38, 28)])
    write_label_map(tmp_path / "map.pbtxt", {"猫": 1, "été": 2})
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def run(script, *words, code=0):
        command = [sys.executable, ROOT / "scripts/preprocessing" / script, *words]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ | ascii_only, capture_output=True, check=False)
        assert done.returncode == code and b"Traceback" not in done.stderr, done.stderr.decode()
        return done.stderr.decode()

    split = ["partition_dataset.py", "-x", "-i", "images"]
    run(*split)
    run("generate_tfrecord.py", "-x", "images/train", "-l", "map.pbtxt", "-o", "a.record", "-c", "a.csv")
    run("convert_annotations.py", "--from", "voc", "--to", "coco", "-i", "images", "-o", "a.json")
    run("convert_annotations.py", "--from", "coco", "--to", "voc", "-i", "images", "-a", "a.json", "-o", "xml")
    assert read_annotation(tmp_path / "xml/1.xml").boxes[0].name == "猫"
    assert "猫" in (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert "猫" in (tmp_path / "a.json").read_text(encoding="utf-8")
    label_photo(tmp_path / "images", "猫.jpg", boxes=[])
    said = run(*split, code=1)
    assert "this session's encoding, ascii, can't name it; export LC_ALL=C.UTF-8 and run this again" in said
