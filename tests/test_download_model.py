"""download_model.py: whole models under their own names, and nothing else, from a real https server or from a file."""

import hashlib
import subprocess
import sys

import pytest
from https_site import serve_https
from packed_models import FILES, NAME, SCRIPTS, download, list_names, make_member, pack, read_tree

from download_model import check_sums, find_source
from tfod.config.zoo import MODELS
from tfod.utils.console import InputError


@pytest.fixture(scope="module")
def server():
    with serve_https() as site:
        yield site


@pytest.fixture
def site(server):
    server.files, server.moved = {f"/{NAME}.tar.gz": pack(FILES)}, {}
    server.statuses.clear()
    server.breaks.clear()
    server.log.clear()
    return server


def test_an_address_becomes_a_folder_of_its_name(site, tmp_path):
    done = download(tmp_path, f"{site.address}/{NAME}.tar.gz")
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256(site.files[f"/{NAME}.tar.gz"]).hexdigest()
    assert done.stdout == f"sha256 {digest}  {NAME}.tar.gz\nWrote models/{NAME}\n"
    assert read_tree(tmp_path / "models" / NAME) == FILES
    assert list_names(tmp_path / "models") == ["SHA256SUMS", NAME]
    assert (tmp_path / "models/SHA256SUMS").read_text() == f"{digest}  {NAME}.tar.gz\n"


def test_sha256sum_understands_the_sums(site, tmp_path):
    download(tmp_path, f"{site.address}/{NAME}.tar.gz")
    (tmp_path / f"models/{NAME}.tar.gz").write_bytes(site.files[f"/{NAME}.tar.gz"])
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path / "models", check=True)


def test_a_model_that_is_there_is_left_alone(site, tmp_path):
    download(tmp_path, f"{site.address}/{NAME}.tar.gz")
    site.log.clear()
    for model in (f"{site.address}/{NAME}.tar.gz", NAME):
        done = download(tmp_path, model)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", f"models/{NAME} is there already\n")
    assert site.log == []
    done = download(tmp_path, NAME, "--sha256", "0" * 64)
    assert done.returncode == 1
    assert f"not {'0' * 64}" in done.stderr
    (tmp_path / "models/SHA256SUMS").unlink()
    done = download(tmp_path, NAME, "--sha256", "0" * 64)
    assert done.returncode == 0
    assert f"warning: models/{NAME}: the sha256 of the file it came from was not noted; delete it" in done.stderr


def test_a_folder_that_is_no_model_is_neither_used_nor_replaced(site, tmp_path):
    (tmp_path / "models" / NAME).mkdir(parents=True)
    (tmp_path / "models" / NAME / "pipeline.config").write_text("mine")
    done = download(tmp_path, f"{site.address}/{NAME}.tar.gz")
    assert done.returncode == 1
    lacking = "checkpoint/ckpt-*.index, no checkpoint/ckpt-*.data-*"
    assert done.stderr == f"error: models/{NAME}: has no {lacking}; move it away or delete it, and run this again\n"
    assert read_tree(tmp_path / "models") == {f"{NAME}/pipeline.config": b"mine"}


def test_a_broken_download_goes_on(site, tmp_path):
    whole = len(site.files[f"/{NAME}.tar.gz"])
    site.breaks[:] = [whole // 3, whole // 3]
    done = download(tmp_path, f"{site.address}/{NAME}.tar.gz")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the connection broke off after") == 2
    assert [span for _, span, _ in site.log] == [None, f"bytes={whole // 3}-", f"bytes={2 * (whole // 3)}-"]
    assert read_tree(tmp_path / "models" / NAME) == FILES


def test_a_download_that_is_given_up_shows_no_model_and_says_what_to_do(site, tmp_path):
    site.breaks[:] = [100, 100]
    address = f"{site.address}/{NAME}.tar.gz"
    done = download(tmp_path, address, "--retries", "1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: {address}: the connection broke off after 0.0 MB; tried 2 times; "
        f"fetch it by hand, then: python scripts/download_model.py {NAME}.tar.gz -o models"
    )
    assert not (tmp_path / "models" / NAME).exists()
    assert download(tmp_path, address).returncode == 0
    assert site.log[-1][1] == "bytes=200-"
    assert list_names(tmp_path / "models") == ["SHA256SUMS", NAME]


def test_a_mirror_has_the_zoos_folders(site, tmp_path):
    site.files = {f"/zoo/20200711/{NAME}.tar.gz": pack(FILES)}
    for mirror in (f"{site.address}/zoo", f"{site.address}/zoo/"):
        done = download(tmp_path, NAME, "--mirror", mirror)
        assert done.returncode == 0, done.stderr
        assert site.log.pop()[0] == f"/zoo/20200711/{NAME}.tar.gz"
        assert read_tree(tmp_path / "models" / NAME) == FILES
        (tmp_path / "models" / NAME).rename(tmp_path / f"old{len(list_names(tmp_path))}")
    site.files[f"/zoo/20200711/{NAME}.tar.gz"] = pack(FILES | {"pipeline.config": b"changed"})
    done = download(tmp_path, NAME, "--mirror", f"{site.address}/zoo")  # held to the sum of the first, whoever has it
    assert done.returncode == 1
    assert "but models/SHA256SUMS has" in done.stderr
    done = download(tmp_path, "efficientdet_d3_coco17_tpu-32", "--mirror", f"{site.address}/none")
    assert (
        f"error: {site.address}/none/20200711/efficientdet_d3_coco17_tpu-32.tar.gz: the server says 404" in done.stderr
    )


def test_a_size_that_the_catalogue_knows_must_be_the_files(site, tmp_path):
    name = "efficientdet_d3_coco17_tpu-32"
    site.files[f"/{name}.tar.gz"] = packed = pack(FILES)
    (tmp_path / f"{name}.tar.gz").write_bytes(packed)
    done = download(tmp_path, f"{site.address}/{name}.tar.gz")
    assert done.returncode == 1
    assert f"the file there has {len(packed)} bytes, not {MODELS[name].bytes}; fetch it by hand" in done.stderr
    done = download(tmp_path, f"{name}.tar.gz")
    assert done.returncode == 1
    advice = "fetch it again; or, if it is the one you want, say so with --sha256"
    wrong = f"has {len(packed)} bytes, but the zoo's model has {MODELS[name].bytes}"
    assert done.stderr == f"error: {name}.tar.gz: {wrong}; {advice}\n"
    assert list_names(tmp_path / "models") == []
    digest = hashlib.sha256(packed).hexdigest()
    assert download(tmp_path, f"{name}.tar.gz", "--sha256", digest).returncode == 0
    (tmp_path / "models" / name).rename(tmp_path / "old")
    assert download(tmp_path, f"{site.address}/{name}.tar.gz", "--sha256", digest).returncode == 0


def test_a_sum_in_the_catalogue_comes_before_that_of_an_earlier_download(tmp_path, monkeypatch):
    known, other = "a" * 64, "b" * 64
    monkeypatch.setitem(MODELS, NAME, MODELS[NAME]._replace(sha256=known))
    (tmp_path / "SHA256SUMS").write_text(f"{other}  {NAME}.tar.gz\n")
    check_sums(known, f"{NAME}.tar.gz", tmp_path / "SHA256SUMS", None)
    with pytest.raises(InputError, match=f"has sha256 {other}, but the zoo's model has {known}; it was damaged"):
        check_sums(other, f"{NAME}.tar.gz", tmp_path / "SHA256SUMS", None)
    with pytest.raises(InputError, match=f"has sha256 {other}, but the zoo's model has {known}"):
        check_sums(other, f"{NAME}.tar.gz", tmp_path / "SHA256SUMS", other)


def test_a_hostile_tarball_from_a_server_leaves_neither_files_nor_a_sum(site, tmp_path):
    site.files[f"/{NAME}.tar.gz"] = pack(FILES, extra=[make_member("../../outside", size=1)])
    done = download(tmp_path, f"{site.address}/{NAME}.tar.gz")
    assert done.returncode == 1
    assert f"error: {site.address}/{NAME}.tar.gz: holds the unsafe path '../../outside'; do not use" in done.stderr
    assert list_names(tmp_path) == ["models"]
    assert list_names(tmp_path / "models") == []


def test_a_model_is_never_seen_before_it_is_whole(tmp_path):
    last = {"pipeline.config": FILES["pipeline.config"]}
    first = {name: content for name, content in FILES.items() if name not in last}
    (tmp_path / "m.tar.gz").write_bytes(pack(first | {"zeros": bytes(100_000_000)} | last))
    command = [sys.executable, SCRIPTS / "download_model.py", "-o", "models", "m.tar.gz"]
    unpacking, target = 0, tmp_path / "models/m"
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        while process.poll() is None and not target.exists():
            unpacking += bool(list(tmp_path.glob("models/.m.*/unpacked.m/*/zeros")))
        assert (target / "pipeline.config").exists()
        process.communicate()
    assert process.returncode == 0
    assert unpacking > 0


@pytest.mark.parametrize("mirror", ["http://localhost", "https://", "mirror", "https://host/a?b", "https://host/#a"])
def test_a_mirror_that_is_none_is_a_wrong_call(tmp_path, mirror):
    done = download(tmp_path, NAME, "--mirror", mirror)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--mirror {mirror!r} is not an https address" in done.stderr


@pytest.mark.parametrize("start", ["http://", "HTTP://"])
def test_the_zoos_own_host_is_asked_by_https(capsys, start):
    path = f"/models/object_detection/tf2/20200711/{NAME}.tar.gz"
    found = find_source(f"{start}download.tensorflow.org{path}")
    address = f"https://download.tensorflow.org{path}"
    assert found == (NAME, address, None)
    assert capsys.readouterr().err == f"download.tensorflow.org answers https, too: taking {address}\n"


@pytest.mark.parametrize("host", ["download.tensorflow.org.example.com", "example.com/download.tensorflow.org"])
def test_other_hosts_are_not_asked_by_https_without_being_told(host):
    with pytest.raises(InputError, match="is not an https address; use one"):
        find_source(f"http://{host}/{NAME}.tar.gz")


def test_404_ends_at_once(site, tmp_path):
    done = download(tmp_path, f"{site.address}/other.tar.gz")
    assert done.returncode == 1
    assert "other.tar.gz: the server says 404 Not Found; fetch it by hand, then: " in done.stderr
    assert len(site.log) == 1


def test_plain_http_is_refused_also_behind_a_redirect(site, tmp_path):
    with serve_https(with_tls=False) as plain:
        address = plain.address.replace("https:", "http:") + f"/{NAME}.tar.gz"
        done = download(tmp_path, address)
        assert done.returncode == 1
        assert (
            f"error: {address}: is not an https address; use one, or fetch it by hand and give the file" in done.stderr
        )
        site.moved[f"/{NAME}.tar.gz"] = address
        done = download(tmp_path, f"{site.address}/{NAME}.tar.gz")
        assert done.returncode == 1
        assert "leads to what is not, an https address" in done.stderr
        assert plain.log == []
    assert list_names(tmp_path / "models") == []


@pytest.mark.parametrize("path", ["/", "/model.zip", "/.tar.gz", "/..tar.gz", "/a%2Fb.tar.gz", "/%0A.tar.gz"])
def test_an_address_must_name_a_model(site, tmp_path, path):
    done = download(tmp_path, site.address + path)
    assert done.returncode == 1
    assert "does not end with NAME.tar.gz; give the address of a model's .tar.gz file" in done.stderr
    assert site.log == []


@pytest.mark.parametrize(
    "model", ["https://[/m.tar.gz", "x" * 5000 + ".tar.gz", "https://localhost/" + "x" * 300 + ".tar.gz"]
)
def test_what_no_file_can_be_called_is_named(tmp_path, model):
    done = download(tmp_path, model)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {model}: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_sha256_that_is_given_must_be_the_files(site, tmp_path):
    digest = hashlib.sha256(site.files[f"/{NAME}.tar.gz"]).hexdigest()
    done = download(tmp_path, f"{site.address}/{NAME}.tar.gz", "--sha256", "0" * 64)
    assert done.returncode == 1
    assert f"has sha256 {digest}, not {'0' * 64}; it was damaged or changed: do not use it" in done.stderr
    assert list_names(tmp_path / "models") == []
    assert download(tmp_path, f"{site.address}/{NAME}.tar.gz", "--sha256", digest.upper()).returncode == 0


def test_later_downloads_are_held_to_the_first_ones_sha256(site, tmp_path):
    address = f"{site.address}/{NAME}.tar.gz"
    assert download(tmp_path, address).returncode == 0
    sums = (tmp_path / "models/SHA256SUMS").read_text()
    (tmp_path / "models" / NAME).rename(tmp_path / "old")
    site.files[f"/{NAME}.tar.gz"] = pack(FILES | {"pipeline.config": b"changed"})
    (tmp_path / f"{NAME}.tar.gz").write_bytes(site.files[f"/{NAME}.tar.gz"])
    for model in (address, f"{NAME}.tar.gz"):
        done = download(tmp_path, model)
        assert done.returncode == 1
        assert (
            f"but models/SHA256SUMS has {sums[:64]} from an earlier download; if you trust the new one" in done.stderr
        )
        assert list_names(tmp_path / "models") == ["SHA256SUMS"]
    assert (tmp_path / "models/SHA256SUMS").read_text() == sums
    (tmp_path / "models/SHA256SUMS").write_text("")
    assert download(tmp_path, address).returncode == 0


def test_the_sums_of_other_models_are_kept(site, tmp_path):
    site.files["/a.tar.gz"] = pack(FILES, "a")
    assert download(tmp_path, f"{site.address}/{NAME}.tar.gz").returncode == 0
    assert download(tmp_path, f"{site.address}/a.tar.gz").returncode == 0
    names = [line.split()[1] for line in (tmp_path / "models/SHA256SUMS").read_text().splitlines()]
    assert names == ["a.tar.gz", f"{NAME}.tar.gz"]


def test_sums_that_are_none_are_named_with_their_line(site, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/SHA256SUMS").write_bytes(b"what is \xff\n")
    done = download(tmp_path, f"{site.address}/{NAME}.tar.gz")
    assert done.returncode == 1
    assert "error: models/SHA256SUMS:1: is not `SHA256  NAME`" in done.stderr


def test_a_download_that_is_damaged_on_the_server_is_not_kept(site, tmp_path):
    site.files[f"/{NAME}.tar.gz"] = b"<html>"
    assert download(tmp_path, f"{site.address}/{NAME}.tar.gz").returncode == 1
    assert list_names(tmp_path / "models") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "extremenet",
            "is a checkpoint alone, without a pipeline.config to train it with; take centernet_hg104_512x512",
        ),
        (
            "ssd_mobilenet_v2_fpnlite_320",
            "is not a model of the TF2 Detection Zoo; did you mean ssd_mobilenet_v2_fpnlite_320x",
        ),
        ("efficentdet_d0", "is not a model of the TF2 Detection Zoo; did you mean efficientdet_d"),
        ("none.tar.gz", "no such file; give a model's .tar.gz file, or its name in the zoo"),
    ],
)
def test_what_can_not_be_got_is_named_before_anything_is_fetched(tmp_path, name, message):
    done = download(tmp_path, name)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {name}: {message}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--sha256", "12"], "'12' is not 64 hexadecimal digits"),
        (["--retries", "-1"], "--retries must be 0 or more"),
        (["--pause", "nan"], "--pause must be 0 to 3600 seconds"),
    ],
)
def test_a_wrong_call_ends_with_2(tmp_path, wrong, message):
    done = download(tmp_path, NAME, *wrong)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_the_folder_must_be_writable(tmp_path):
    (tmp_path / "models").write_text("a file")
    (tmp_path / "m.tar.gz").write_bytes(pack(FILES))
    done = download(tmp_path, "m.tar.gz")
    assert done.returncode == 1 and "error: models: File exists; a file is where a folder should be; " in done.stderr
    assert len(done.stderr.splitlines()) == 1
