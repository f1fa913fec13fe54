"""Downloads against a real https server: whole or not at all, gone on with, and never off https."""

import hashlib
import random

import pytest
from https_site import make_environment, serve_https

from tfod.utils.console import InputError
from tfod.utils.download import fetch

CONTENT = random.Random(1).randbytes(900_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", make_environment()["REQUESTS_CA_BUNDLE"])
    with serve_https() as site:
        site.files["/model"] = CONTENT
        yield site


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_with_its_sha256(site, tmp_path):
    assert fetch(site.address + "/model", tmp_path / "new" / "file", DIGEST.upper()) == DIGEST
    assert (tmp_path / "new/file").read_bytes() == CONTENT
    assert list_names(tmp_path / "new") == ["file"]


def test_a_server_that_does_not_say_the_length(site, tmp_path):
    site.length = False
    assert fetch(site.address + "/model", tmp_path / "file") == DIGEST


@pytest.mark.parametrize("version", ["etag", "weak etag", "date", None])
def test_a_broken_download_goes_on_where_it_stopped(site, tmp_path, version):
    site.version = version
    site.breaks = [300_000, 200_000]
    assert fetch(site.address + "/model", tmp_path / "file", pause=0) == DIGEST
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [span for _, span, _ in site.log] == [None, "bytes=300000-", "bytes=500000-"]
    assert all((mark is None) == (version in ("weak etag", None)) for _, _, mark in site.log[1:])


def test_a_later_run_goes_on_too(site, tmp_path):
    site.breaks = [300_000]
    with pytest.raises(InputError, match=r"the connection broke off after 0.3 MB; tried 1 times; do it so"):
        fetch(site.address + "/model", tmp_path / "file", retries=0, advice="do it so")
    assert list_names(tmp_path) == [".file.part", ".file.part.json"]
    assert fetch(site.address + "/model", tmp_path / "file") == DIGEST
    assert site.log[1][1] == "bytes=300000-"
    assert list_names(tmp_path) == ["file"]


def test_a_server_without_ranges_gives_it_anew(site, tmp_path):
    site.ranges, site.breaks = False, [300_000]
    assert fetch(site.address + "/model", tmp_path / "file", pause=0) == DIGEST
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("version", ["etag", "weak etag", "date", None])
def test_two_versions_of_a_file_are_never_mixed(site, tmp_path, version):
    site.version, site.breaks = version, [300_000]
    with pytest.raises(InputError):
        fetch(site.address + "/model", tmp_path / "file", retries=0)
    site.files["/model"] = changed = CONTENT[::-1] + b"longer"
    assert fetch(site.address + "/model", tmp_path / "file", pause=0) == hashlib.sha256(changed).hexdigest()
    assert (tmp_path / "file").read_bytes() == changed


def test_the_part_of_another_address_is_not_gone_on_with(site, tmp_path):
    site.files["/other"], site.breaks = b"other" * 100_000, [100_000]
    with pytest.raises(InputError):
        fetch(site.address + "/other", tmp_path / "file", retries=0)
    assert fetch(site.address + "/model", tmp_path / "file") == DIGEST
    assert site.log[1] == ("/model", None, None)


@pytest.mark.parametrize("note", ["", "[]", '"text"', "{}", '{"url": 1}', "\xff"])
def test_a_part_with_a_note_that_says_nothing_is_not_gone_on_with(site, tmp_path, note):
    (tmp_path / ".file.part").write_bytes(b"something")
    (tmp_path / ".file.part.json").write_bytes(note.encode("latin-1"))
    assert fetch(site.address + "/model", tmp_path / "file", retries=0) == DIGEST
    assert site.log[0] == ("/model", None, None)


def test_a_part_longer_than_the_file_is_dropped(site, tmp_path):
    site.breaks, site.version = [300_000], None
    with pytest.raises(InputError):
        fetch(site.address + "/model", tmp_path / "file", retries=0)
    site.files["/model"] = b"short now"
    assert fetch(site.address + "/model", tmp_path / "file", pause=0) == hashlib.sha256(b"short now").hexdigest()


def test_a_part_that_is_the_whole_file_is_taken_as_it_is(site, tmp_path):
    site.breaks = [300_000]
    with pytest.raises(InputError):
        fetch(site.address + "/model", tmp_path / "file", retries=0)
    (tmp_path / ".file.part").write_bytes(CONTENT)  # as if it was stopped between the last byte and the new name
    assert fetch(site.address + "/model", tmp_path / "file") == DIGEST
    assert len(site.log) == 1


def test_pauses_grow_and_tries_are_counted(site, tmp_path, capsys):
    site.statuses = [503, 500, 429]
    assert fetch(site.address + "/model", tmp_path / "file", pause=0.01) == DIGEST
    lines = capsys.readouterr().err.splitlines()
    assert [line.rsplit("; ", 1)[1] for line in lines] == [f"trying again in {n} s" for n in ("0.01", "0.02", "0.04")]
    site.statuses = [503] * 9
    with pytest.raises(InputError, match=r"the server says 503 Service Unavailable; tried 3 times; "):
        fetch(site.address + "/model", tmp_path / "file2", retries=2, pause=0)
    assert len(site.statuses) == 6


def test_an_address_that_is_not_there_ends_at_once(site, tmp_path):
    with pytest.raises(InputError, match=r"/none: the server says 404 Not Found; ask your admin$"):
        fetch(site.address + "/none", tmp_path / "file", advice="ask your admin")
    assert len(site.log) == 1
    assert list_names(tmp_path) == []


def test_a_redirect_within_https_is_followed(site, tmp_path):
    site.moved["/old"] = site.address + "/model"
    assert fetch(site.address + "/old", tmp_path / "file") == DIGEST


def test_what_is_not_https_is_never_asked(site, tmp_path):
    with serve_https(with_tls=False) as plain:
        plain.files["/model"] = CONTENT
        insecure = plain.address.replace("https:", "http:") + "/model"
        site.moved["/old"] = insecure
        for address in (
            insecure,
            insecure.replace("http:", "HTTP:"),
            site.address + "/old",
            "file:///etc/hostname",
        ):
            with pytest.raises(InputError, match=r"https address; only those are fetched"):
                fetch(address, tmp_path / "file", pause=0)
        assert plain.log == []
    assert list_names(tmp_path) == []


@pytest.mark.parametrize("target", ["http://localhost/model", "file:///etc/hostname", "ftp://localhost/model", "//["])
def test_a_redirect_to_another_scheme_is_not_followed(site, tmp_path, target):
    site.moved["/old"] = target
    with pytest.raises(InputError, match=rf"^{site.address}/old: .*; ask your admin$"):
        fetch(site.address + "/old", tmp_path / "file", pause=0, retries=1, advice="ask your admin")
    assert list_names(tmp_path) == []


def test_an_endless_redirect_ends(site, tmp_path):
    site.moved["/a"] = site.address + "/a"
    with pytest.raises(InputError, match=r"Exceeded 30 redirects"):
        fetch(site.address + "/a", tmp_path / "file", pause=0)


def test_a_certificate_that_is_not_trusted_ends_at_once(site, tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with pytest.raises(InputError, match=r"certificate is not trusted \(see REQUESTS_CA_BUNDLE\); "):
        fetch(site.address + "/model", tmp_path / "file")
    assert site.log == []


def test_a_server_that_is_not_there(tmp_path):
    with serve_https() as site:
        address = site.address
    with pytest.raises(InputError, match=r"the server can't be reached; tried 2 times; "):
        fetch(address + "/model", tmp_path / "file", retries=1, pause=0)


def test_a_server_that_is_too_slow(site, tmp_path, monkeypatch):
    monkeypatch.setattr("tfod.utils.download.TIMEOUTS", (5, 0.2))
    site.delay = 1
    with pytest.raises(InputError, match=r"no answer in time; tried 1 times; "):
        fetch(site.address + "/model", tmp_path / "file", retries=0)


def test_a_server_that_falls_silent_is_left_and_gone_on_with(site, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tfod.utils.download.TIMEOUTS", (5, 0.3))
    site.stalls = [300_000]
    assert fetch(site.address + "/model", tmp_path / "file", pause=0) == DIGEST
    assert "the connection broke off after 0.3 MB; trying again in 0 s" in capsys.readouterr().err
    assert [span for _, span, _ in site.log] == [None, f"bytes={1 << 18}-"]  # what came of the next piece is lost


def test_a_throttled_download_arrives(site, tmp_path, monkeypatch):
    monkeypatch.setattr("tfod.utils.download.TIMEOUTS", (5, 0.5))
    site.pace = 10_000  # it takes 0.9 seconds, longer than the silence that is allowed
    assert fetch(site.address + "/model", tmp_path / "file", retries=0) == DIGEST
    assert len(site.log) == 1


def test_what_is_no_http_is_tried_again(site, tmp_path):
    site.garbage = [b"\x00\xff garbage\r\n\r\n", b""]
    assert fetch(site.address + "/model", tmp_path / "file", pause=0) == DIGEST
    site.garbage = [b"SSH-2.0-OpenSSH\r\n"]
    with pytest.raises(InputError, match=r"the server can't be reached; tried 1 times; "):
        fetch(site.address + "/model", tmp_path / "file2", retries=0)


@pytest.mark.parametrize("length", ["many", "", "-1", "9" * 30])
def test_a_length_that_is_no_number_is_not_believed(site, tmp_path, length):
    site.headers = {"Content-Length": length}
    try:
        assert fetch(site.address + "/model", tmp_path / "file", retries=0) == DIGEST
    except InputError as error:
        assert "tried 1 times" in str(error)
        assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("span", ["bytes 0-899999/900000", "bytes 300000-899999/*", "bytes 300000-899999/5", "garbage"])
def test_a_range_that_was_not_asked_for_is_not_taken(site, tmp_path, span):
    site.breaks = [300_000]
    with pytest.raises(InputError):
        fetch(site.address + "/model", tmp_path / "file", retries=0)
    site.headers = {"Content-Range": span}
    with pytest.raises(InputError, match=r"the server does not go on where the last try stopped"):
        fetch(site.address + "/model", tmp_path / "file", retries=0)
    site.headers = {}
    assert fetch(site.address + "/model", tmp_path / "file", retries=0) == DIGEST
    assert site.log[-1][1] is None


def test_a_file_of_another_size_than_is_known_is_not_fetched(site, tmp_path):
    with pytest.raises(InputError, match=r"the file there has 900000 bytes, not 5; ask your admin"):
        fetch(site.address + "/model", tmp_path / "file", size=5, advice="ask your admin")
    site.length = False
    with pytest.raises(InputError, match=r"the server sends more than 5 bytes; "):
        fetch(site.address + "/model", tmp_path / "file", size=5)
    with pytest.raises(InputError, match=r"got 900000 of 900001 bytes; tried 1 times; "):
        fetch(site.address + "/model", tmp_path / "file", size=900_001, retries=0)
    assert not (tmp_path / "file").exists()
    assert fetch(site.address + "/model", tmp_path / "file2", size=900_000) == DIGEST


def test_a_file_without_end_is_left_where_it_is_too_long(site, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"the file there has 900000 bytes, not 10000 at most"):
        fetch(site.address + "/model", tmp_path / "file", most=10_000)
    monkeypatch.setattr("tfod.utils.download.TIMEOUTS", (5, 0.3))
    site.length, site.stalls = False, [600_000]  # whoever waits for the rest meets the silence
    with pytest.raises(InputError, match=r"the server sends more than 10000 bytes"):
        fetch(site.address + "/model", tmp_path / "file", most=10_000, retries=0)
    assert list_names(tmp_path) == []


def test_the_proxy_of_the_environment_is_asked(site, tmp_path, monkeypatch):
    with serve_https(with_tls=False) as proxy:  # which does not know CONNECT, and says so
        monkeypatch.setenv("HTTPS_PROXY", proxy.address.replace("https:", "http:"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(InputError, match=r"the proxy does not let it through \(see HTTPS_PROXY\)"):
            fetch(site.address + "/model", tmp_path / "file", retries=0)
    assert site.log == []


def test_another_sha256_is_refused_and_nothing_is_left(site, tmp_path):
    with pytest.raises(InputError, match=rf"has sha256 {DIGEST}, not {'0' * 64}; it was damaged or changed"):
        fetch(site.address + "/model", tmp_path / "file", "0" * 64)
    assert list_names(tmp_path) == []


def test_a_disk_that_cannot_be_written(site, tmp_path):
    (tmp_path / "folder").write_text("a file where a folder should be")
    with pytest.raises(InputError, match=r"folder: File exists; a file is where a folder should be; move it away"):
        fetch(site.address + "/model", tmp_path / "folder" / "file")


def test_a_full_disk_is_named(site, tmp_path):
    (tmp_path / ".file.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"file: No space left on device; make room there, or name another folder"):
        fetch(site.address + "/model", tmp_path / "file")
    assert not (tmp_path / "file").exists()
