"""What is wrong with the text of a file that is not XML, and the same text mended, where it is clear what was meant."""

import contextlib
import re

_BARE_AMPERSAND = re.compile(r"&(?!(?:#\d+|#x[0-9a-fA-F]+|[A-Za-z_:][\w:.-]*);)")
_DECLARATION = re.compile(rb"<\?xml[^>]*\?>")


def mend(data: bytes) -> tuple[bytes, str, str]:
    """(the bytes of a file that is not XML, mended; what was wrong, "" if nothing is known that helps; what to do)."""
    line = what = advice = ""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text, encoding = _decode_as_windows(data)
        line = data.count(b"\n", 0, error.start) + 1
        said = text.splitlines()[line - 1].strip()
        what = f"line {line}: is not in UTF-8, as an XML file is; in {encoding} it reads {said!r}"
        advice = "save the file in UTF-8 in a text editor"
    if bare := _BARE_AMPERSAND.search(text):
        line = text.count("\n", 0, bare.start()) + 1
        what += f"{'; ' * bool(what)}line {line}: holds a bare &"
        said = _BARE_AMPERSAND.sub("&amp;", text.splitlines()[line - 1]).strip()
        advice = f"write &amp; for it: {said}" + (f"; and {advice}" if advice else "")
        text = _BARE_AMPERSAND.sub("&amp;", text)
    return _DECLARATION.sub(b"", text.encode(), count=1), what, advice


def _decode_as_windows(data):
    """(bytes that are not UTF-8 as text, its encoding): GB18030, as Windows writes Chinese, if every run of bytes over
    127 is of whole letters of that; else Windows-1252, as it writes Western languages."""
    runs = re.findall(rb"[\x80-\xff]+", data)
    if all(len(run) % 2 == 0 for run in runs):
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode("gb18030"), "GB18030"
    return data.decode("cp1252", "replace"), "Windows-1252"
