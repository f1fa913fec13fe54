import json
import shutil
import sys
import time
from pathlib import Path

import pytest
from conftest import find_free_port, load_script, run_script
from loopback import start_server
from makefile import record_make, try_make

from tfod.utils import files

EXPORT = "exported_models/my_model"
RELAY = """
import os, socket, sys, threading
server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def bring():
    while data := server.recv(65536):
        os.write(1, data)
threading.Thread(target=bring, daemon=True).start()
left = int(sys.argv[2])
while left > 0 and (data := os.read(0, 65536)):
    server.sendall(data)
    left -= len(data)
"""


@pytest.fixture
def workspace(tflite_files, tmp_path):
    """A copy of `tflite_files`' workspace with a benchmark of the float32 and int8 files, and an empty board/home."""
    workspace = shutil.copytree(tflite_files[0], tmp_path / "workspace", symlinks=True)
    export = workspace / EXPORT
    rows = [{"name": "SavedModel", "path": f"{EXPORT}/saved_model", "megabytes": 5.0}]
    for kind in ("float32", "int8"):
        path = export / f"tflite/model_{kind}.tflite"
        rows.append({"name": f"TFLite {kind}", "path": f"{EXPORT}/tflite/{path.name}"})
        rows[-1]["megabytes"] = path.stat().st_size / 1e6
    made = [export / "benchmark.json", export / "benchmark.md"]
    made[0].write_text(json.dumps({"machine": "here", "formats": rows}))
    cells = "\n".join(f"| {row['name']} | 0.500 |" for row in rows)
    made[1].write_text(f"# Benchmark\n\n12 images.\n\n| format | mAP |\n|---|---:|\n{cells}\n\nmAP: COCO's.\n")
    files.mark_current(made[0], None, "benchmark", made)
    (tmp_path / "board").mkdir()
    (tmp_path / "board/home").mkdir()
    return workspace


@pytest.fixture
def measure(workspace, tmp_path, monkeypatch, capsys):
    """`measure(config, host="board")` runs device.py, without packages to copy: (exit code, output, what was said).

    They are there already: the board's Python is this one. The long test copies them.
    """
    from tfod.export import device

    script = load_script("device.py")
    monkeypatch.setattr(device, "install_packages", lambda host, board, folder: folder.mkdir())
    monkeypatch.setattr(device, "ROOM", 1)
    monkeypatch.chdir(workspace)

    def measure(config, host="board"):
        monkeypatch.setattr(
            sys, "argv", ["device.py", f"--host={host}", "--export", EXPORT, "--ssh_config", str(config)]
        )
        code = 0
        try:
            script.main()
        except script.InputError as error:
            code = str(error)
        return code, *capsys.readouterr()

    return measure


def start(tmp_path, **options):
    return start_server(tmp_path / "board/ssh", environment=[f"TMPDIR={tmp_path}/board/home"], **options)


def require_nothing_left(tmp_path):
    until = time.monotonic() + 10
    while (left := list((tmp_path / "board/home").iterdir())) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []


def test_a_board_gets_its_columns(workspace, measure, tmp_path):
    from tfod.detector import Detector
    from tfod.export import bundle, device

    config = start(tmp_path)
    code, output, said = measure(config)
    assert code == 0, code
    require_nothing_left(tmp_path)
    assert "board: measuring model_float32.tflite\nboard: measuring model_int8.tflite\n" in said
    report = json.loads((workspace / EXPORT / "benchmark.json").read_text())
    board = report["boards"]["board"]
    assert board["board"]["python"] == sys.version.split()[0]
    page = (workspace / EXPORT / "benchmark.md").read_text()
    assert output.strip().splitlines()[0] in page
    heading = [cell.strip() for cell in output.splitlines()[0].strip("|").split("|")]
    assert heading == ["format", "mAP", *(f"board: {name}" for name in ("mAP", "p50 ms", "p95 ms", "peak MB"))]
    assert f"\nboard: {device.describe(board['board'])}; " in page
    # the same as here
    script = load_script("device.py")
    source = bundle.find_test_records(EXPORT)
    samples, measured = {}, device.Measured("model_int8.tflite", times=[1.0])
    detector = Detector(f"{EXPORT}/tflite/model_int8.tflite", score=0.0, threads=1)
    from tfod.data.samples import decode_sample

    for sample in source.read():
        photo = decode_sample(sample)
        samples[sample.name] = sample, photo.shape[1::-1]
        measured.found[sample.name] = tuple(detector.detect([photo])[0])
    expected = script.summarize(measured, samples, source.names)
    figures = board["formats"]["TFLite int8"]
    assert figures["map"] == pytest.approx(expected["map"], abs=1e-6)
    assert 0 < figures["p50"] <= figures["p95"]
    assert 0 < figures["first"] < 60
    assert 20 < figures["memory"] < 1000
    assert files.is_untouched(workspace / EXPORT / "benchmark.json", "benchmark")


def test_columns_are_replaced_and_those_of_another_board_stay():
    script = load_script("device.py")
    page = "# B\n\nx.\n\n| format | mAP |\n|---|---:|\n| SavedModel | 0.5 |\n| TFLite int8 | 0.4 |\n\nmAP: COCO's.\n"
    one = {"TFLite int8": {"map": 0.25, "p50": 12.34, "p95": 20.0, "first": 1.0, "memory": 80.4}}
    page = script.add_board(page, "pi@a", one, "a Pi")
    page = script.add_board(page, "b", one, "another")
    again = script.add_board(page, "pi@a", {"TFLite int8": {**one["TFLite int8"], "p50": 9.9}}, "a warm Pi")
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in again.splitlines() if line[:1] == "|"]
    names = ["mAP", "p50 ms", "p95 ms", "peak MB"]
    assert table[0] == ["format", "mAP", *(f"b: {name}" for name in names), *(f"pi@a: {name}" for name in names)]
    assert table[2] == ["SavedModel", "0.5", *[""] * 8]
    assert table[3] == ["TFLite int8", "0.4", "0.250", "12.3", "20.0", "80", "0.250", "9.9", "20.0", "80"]
    assert again.count("pi@a: a warm Pi.") == 1 and "pi@a: a Pi." not in again and "\nb: another.\n" in again
    assert again.startswith("# B\n\nx.\n\n| format") and "\n\nmAP: COCO's.\n" in again


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([{"celsius": None, "throttled": None}], "no temperature is told, nor whether it was throttled"),
        ([{"celsius": 41.2, "throttled": None}, {"celsius": 60.0, "throttled": None}],
         "41 °C before and 60 °C at most; whether it was throttled is not told"),
        ([{"celsius": 41.2, "throttled": "0x0"}], "41 °C before and 41 °C at most; not throttled"),
        ([{"celsius": 41.2, "throttled": "0x0"}, {"celsius": 82.0, "throttled": "0x20002"}],
         "41 °C before and 82 °C at most; throttled (0x20002, of vcgencmd get_throttled)"),
    ],
)  # fmt: skip
def test_temperature_and_throttling_are_told(states, said):
    assert load_script("device.py").describe_states(states) == said


def test_no_python_is_named(measure, tmp_path):
    (tmp_path / "none").mkdir()
    code, _, _ = measure(start(tmp_path, path=tmp_path / "none"))
    assert code == "board: has no python3; apt-get install python3 there"


def test_a_full_disk_is_named_and_nothing_stays(measure, tmp_path):
    code, _, _ = measure(start(tmp_path, file_limit=20_000))
    assert code == f"board: the disk is full, or a quota used up, at {tmp_path}/board/home; make room there"
    require_nothing_left(tmp_path)


def test_a_lost_connection_is_named_and_nothing_stays(measure, tmp_path):
    (tmp_path / "relay.py").write_text(RELAY)
    config = start(tmp_path, proxy=f"{sys.executable} {tmp_path}/relay.py {{port}} 100000")
    code, _, _ = measure(config)
    assert code.startswith("board: the connection failed or was lost (")
    assert code.endswith("); does `ssh board` work?")
    require_nothing_left(tmp_path)


def test_a_host_that_does_not_answer_is_named(measure, tmp_path):
    config = tmp_path / "config"
    config.write_text(f"Host board\n  HostName 127.0.0.1\n  Port {find_free_port()}\n  BatchMode yes\n")
    code, _, _ = measure(config)
    assert code.startswith("board: the connection failed or was lost (ssh: connect to host 127.0.0.1 port ")


@pytest.mark.parametrize(
    "host", ["-oProxyCommand=touch canary", "a;touch canary", "$(touch canary)", "a b", "", "a\nb", "@b"]
)
def test_a_host_is_no_command(measure, workspace, host):
    code, _, _ = measure("none", host)
    assert code.startswith(f"HOST={host}: is not a host's name; give one as pi@raspberrypi.local")
    assert not list(workspace.rglob("canary"))


@pytest.mark.parametrize("host", ["pi@raspberrypi.local", "board-1", "10.0.0.7", "me@fe80::1%eth0", "::1"])
def test_hosts_have_such_names(host):
    from tfod.export.device import require_host

    require_host(host)


BOARD = {"python": "3.11.2", "implementation": "CPython", "bits": 64, "system": "Linux", "machine": "aarch64"}
BOARD |= {"libc": ["glibc", "2.36"], "model": "", "cores": 4, "place": "/home/pi", "free": 10**10}


class Answer:
    """A process of ssh that has said one line."""

    def __init__(self, **board):
        import io

        self.stdin = io.BytesIO()
        self.stdout = io.BytesIO(b"Welcome to the Pi\n" + json.dumps({**BOARD, **board}).encode() + b"\n")


@pytest.mark.parametrize(
    ("board", "said"),
    [
        ({"python": "3.9.2"}, "python3 is CPython 3.9.2, and ai-edge-litert has wheels for 3.10 to 3.14; install one"),
        ({"implementation": "PyPy"}, "python3 is PyPy 3.11.2, and ai-edge-litert has"),
        ({"machine": "armv7l", "bits": 32}, "is Linux armv7l with a Python of 32 bits, for which there are no wheels"),
        (
            {"bits": 32},
            "is Linux aarch64 with a Python of 32 bits, for which there are no wheels; install a 64-bit Linux",
        ),
        (
            {"libc": ["", ""]},
            "has no glibc, and there are no wheels for other C libraries; install a 64-bit Linux there",
        ),
        ({"free": 10**8}, "100 MB are free in /home/pi, and 300 MB are needed; make room there"),
    ],
)
def test_a_board_that_will_not_do_is_named(board, said):
    from tfod.export import device

    with pytest.raises(device.InputError) as raised:
        device.greet("pi", Answer(**board), b"program")
    assert str(raised.value).startswith(f"pi: {said}")
    assert device.greet("pi", Answer(), b"program") == BOARD


def test_a_model_that_can_not_run_there_is_named(measure, workspace, tmp_path):
    from tfod.export import device

    with pytest.raises(device.InputError, match=r"pi: can't run model_int8.tflite \(ValueError: odd\)"):
        device.collect("pi", [b'{"failed": "model_int8.tflite", "said": "Traceback\\nValueError: odd\\n"}\n'])
    for torn in (b"", b'{"ends": tr'):
        with pytest.raises(EOFError):
            device.collect("pi", [b'{"begins": "a.tflite", "celsius": null, "throttled": null}\n', torn])


def test_a_benchmark_is_wanted_first(workspace, measure):
    model = workspace / EXPORT / "tflite/model_int8.tflite"
    with model.open("ab") as file:
        file.write(b"more")
    said = f"{EXPORT}/tflite/model_int8.tflite: is not the file that {EXPORT}/benchmark.json tells of; "
    assert measure("none")[0] == said + "run `make benchmark` again"
    (workspace / EXPORT / "benchmark.md").unlink()
    said = measure("none")[0]
    assert said.startswith(f"{EXPORT}/benchmark.json: is not there; `make benchmark` makes it")


def test_make_gives_host_and_settings(tmp_path):
    (tmp_path / "fruit/exported_models/mine/saved_model").mkdir(parents=True)
    variables = [f"WORKSPACE={tmp_path}/fruit", "MODEL=mine", "HOST=$(touch canary)", "SSH_CONFIG=my config"]
    (call,) = [call for call in record_make(tmp_path, "device", *variables) if call[1].endswith("device.py")]
    root = str(Path(__file__).parents[1])
    assert call[2:] == ["--host=$(touch canary)", "--export", "exported_models/mine", f"--ssh_config={root}/my config"]
    _, said = try_make(tmp_path, "device", *variables[:2], code=2)
    assert "error: HOST is empty; make device HOST=pi@raspberrypi.local" in said


@pytest.mark.long
def test_a_board_with_nothing_but_python(workspace, tmp_path):
    """Debian's own Python, or any other than this one's environment: all packages come from here."""
    if not shutil.which("python3", path="/usr/bin"):
        pytest.skip("there is no /usr/bin/python3: apt-get install python3")
    config = start(tmp_path, path="/usr/bin:/bin")
    words = ["device.py", "--host=board", f"--export={EXPORT}", f"--ssh_config={config}"]
    output, _ = run_script(*words, cwd=workspace)
    assert "| TFLite int8 " in output
    require_nothing_left(tmp_path)


@pytest.mark.long
def test_an_old_glibc_is_named(tmp_path):
    from tfod.export import device

    board = {**BOARD, "libc": ["glibc", "2.17"]}
    with pytest.raises(device.InputError, match="has no wheel for Python 3.11.2 with glibc 2.17; install a newer"):
        device.install_packages("pi", board, tmp_path / "packages")
