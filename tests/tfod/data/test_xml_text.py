"""Text that is not XML: the line and what to write, and the same text mended where it is clear what was meant."""

import pytest
from conftest import label_photo

from tfod.data.voc import Box, parse_annotation, read_annotation
from tfod.data.xml_text import mend
from tfod.utils.console import InputError


@pytest.fixture
def xml(tmp_path):
    return label_photo(tmp_path, "a.jpg", boxes=[Box("NAME", 8, 8, 40, 30)]).with_suffix(".xml")


def put(xml, name, encoding="utf-8"):
    xml.write_bytes(xml.read_bytes().replace(b"NAME", name.encode(encoding)))


@pytest.mark.parametrize(
    ("name", "encoding", "said"),
    [
        ("salt & pepper", "utf-8", "holds a bare &; write &amp; for it: <name>salt &amp; pepper</name>"),
        ("Straße", "cp1252", "is not in UTF-8, as an XML file is; in Windows-1252 it reads '<name>Straße</name>'"),
        ("猫狗", "gb18030", "is not in UTF-8, as an XML file is; in GB18030 it reads '<name>猫狗</name>'"),
        ("R&D Straße", "cp1252", "write &amp; for it: <name>R&amp;D Straße</name>; and save the file in UTF-8"),
    ],
)
def test_the_line_is_named_and_what_to_write_and_repaired_it_reads_so(xml, name, encoding, said):
    put(xml, name, encoding)
    line = next(i for i, text in enumerate(xml.read_bytes().splitlines(), 1) if b"<name>" in text)
    with pytest.raises(InputError) as caught:
        read_annotation(xml)
    (fault,) = caught.value.faults
    assert said in fault and f"line {line}: " in fault and "label" not in fault.what
    annotation, (repaired,) = parse_annotation(xml, repair=True)
    assert annotation.boxes == (Box(name, 8, 8, 40, 30),) and annotation.names == (name,)
    assert (repaired.kind, repaired.severity) == ("xml-not-xml", "repaired")


def test_entities_and_what_is_sound_are_left_as_they_are():
    text = b"<a>&amp; &#38; &#x26; &lt; &other;</a>"
    assert mend(text) == (text, "", "")


def test_a_blank_line_in_front_and_a_byte_order_mark_do_no_harm(xml):
    put(xml, "猫")
    declared = b'<?xml version="1.0" encoding="UTF-8"?>\n' + xml.read_bytes()
    for before in (b"\n\n ", b"\xef\xbb\xbf"):
        xml.write_bytes(before + declared)
        assert read_annotation(xml).boxes == (Box("猫", 8, 8, 40, 30),)


def test_what_nobody_can_mend_keeps_its_error(xml):
    xml.write_bytes(xml.read_bytes().replace(b"</object>", b"&</bject>"))
    _, (fault,) = parse_annotation(xml, repair=True)
    assert fault.severity == "error" and "correct that line in a text editor, which keeps the others" in fault
