"""TFLite files on a board, over ssh: one connection copies what is needed, runs the photos and brings the figures."""

import dataclasses
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tfod.export import bundle
from tfod.utils.console import InputError, say

# A name that neither ssh nor a shell that ssh may start could take for anything else. ADDRESS may be IPv6's.
HOST = re.compile(r"([\w][\w.-]*@)?[A-Za-z0-9:][A-Za-z0-9_.:%-]*", re.ASCII)
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
ROOM = 300e6  # bytes: the packages, unpacked, beside which models and photos are small
PROGRAM = bundle.RUNNER / "board.py"


@dataclasses.dataclass
class Measured:
    """One TFLite file on the board: `name` of the file; `found`, a dict photo's name -> lists (boxes, classes from 1,
    scores); `times`, milliseconds of each; `first`, seconds from the start to the first photo's boxes; `peak`, MB of
    memory."""

    name: str
    found: dict = dataclasses.field(default_factory=dict)
    times: list = dataclasses.field(default_factory=list)
    first: float = 0.0
    peak: float = 0.0


def require_host(host):
    """Raises InputError where `host` can't be a host's name."""
    if not HOST.fullmatch(host):
        raise InputError(
            f"HOST={host}: is not a host's name; give one as pi@raspberrypi.local, or a Host of ~/.ssh/config"
        )


def measure(host, models, photos, config=None):
    """Runs the TFLite files `models` on `photos`, (name, bytes) each, on `host`, and says how far it is.

    config: a file for ssh -F; None: ssh's own. Returns (what the board is, a dict; a list of `Measured`; its states, a
    list of dicts with celsius and throttled). Raises InputError for whatever goes wrong; nothing stays on the board.
    """
    require_host(host)
    program = PROGRAM.read_bytes()
    options = ["-T", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"]
    # the board's shell sees this constant only
    remote = f'exec python3 -c "import sys; exec(sys.stdin.buffer.read({len(program)}))"'
    command = ["ssh", *(["-F", str(config)] if config else []), *options, "--", host, remote]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryDirectory() as room:
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
        except FileNotFoundError:
            raise InputError("ssh: is not installed; apt-get install openssh-client") from None
        try:
            board = greet(host, process, program)
            install_packages(host, board, Path(room, "packages"))
            say(f"copying {len(models)} TFLite files and the photos to {host}, {describe(board)}")
            send(process.stdin, models, photos, Path(room, "packages"))
            measured, states = collect(host, process.stdout)
        except (BrokenPipeError, EOFError):
            raise InputError(name_failure(host, process, said)) from None
        finally:
            end(process)
    return board, measured, states


def greet(host, process, program):
    """Sends the board's program, and returns what it says of the board. Raises InputError where it will not do, and
    EOFError or BrokenPipeError where nobody answers."""
    process.stdin.write(program)
    process.stdin.flush()
    board = next(read_lines(process.stdout), None) or raise_end()
    version = ".".join(board["python"].split(".")[:2])
    advice = "install a 64-bit Linux there, as Raspberry Pi OS (64-bit)"
    if board["system"] != "Linux" or board["machine"] not in ("aarch64", "x86_64") or board["bits"] != 64:
        what = f"{board['system']} {board['machine']} with a Python of {board['bits']} bits"
        raise InputError(f"{host}: is {what}, for which there are no wheels; {advice}")
    if version not in PYTHONS or board["implementation"] != "CPython":
        which = f"{PYTHONS[0]} to {PYTHONS[-1]}"
        raise InputError(
            f"{host}: python3 is {board['implementation']} {board['python']}, and ai-edge-litert has wheels for "
            f"{which}; install one of these there as python3"
        )
    if board["libc"][0] != "glibc":
        raise InputError(f"{host}: has no glibc, and there are no wheels for other C libraries; {advice}")
    if board["free"] < ROOM:
        free = f"{board['free'] / 1e6:.0f} MB are free in {board['place']}, and {ROOM / 1e6:.0f} MB are needed"
        raise InputError(f"{host}: {free}; make room there")
    return board


def read_lines(stream):
    """Yields what the board's program says, dicts. A shell there may say other things; a torn line is left out."""
    for line in stream:
        if line.startswith(b"{") and line.endswith(b"\n"):
            yield json.loads(line)


def raise_end():
    raise EOFError


def describe(board):
    """What a board is, in words."""
    return (
        f"{board['model'] or board['machine']}, {board['machine']}, {board['cores']} cores, Python {board['python']}, "
        f"glibc {board['libc'][1]}"
    )


def install_packages(host, board, folder):
    """Puts what the runner needs on that board into `folder`; the board needs neither pip nor a way to an index."""
    folder.mkdir()
    requirements = folder.with_name("requirements.txt")
    requirements.write_text(bundle.choose_requirements(board["python"], board["machine"]), encoding="utf-8")
    minor = int(board["libc"][1].split(".")[1])
    platforms = [f"--platform=manylinux_2_{number}_{board['machine']}" for number in range(minor, 16, -1)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--target", folder, *platforms]
    command += ["--python-version", ".".join(board["python"].split(".")[:2]), "-r", requirements]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    missing = re.search(r"No matching distribution found for (\S+)", done.stderr)
    if missing and "Retrying (" not in done.stderr:  # which it says of an index that does not answer
        what = f"Python {board['python']} with glibc {board['libc'][1]}"
        raise InputError(f"{host}: {missing[1]} has no wheel for {what}; install a newer system there")
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise InputError(f"{requirements.name}: {lines[-1]}; is there a way to the package index?")


def send(stream, models, photos, packages):
    """Writes the archive for the board to the stream, and closes that."""
    extra = [("measure.py", bundle.RUNNER / "measure.py")]
    extra += [
        (f"packages/{path.relative_to(packages)}", path) for path in sorted(packages.rglob("*")) if path.is_file()
    ]
    bundle.pack(stream, models, photos, extra)
    stream.close()


def collect(host, stream):
    """(list of `Measured`, states) from the lines that the board's program prints."""
    measured, states = [], []
    for line in read_lines(stream):
        if "full" in line:
            raise InputError(say_full(host, line["full"]))
        if "failed" in line:
            reason = (line["said"].strip().splitlines() or ["no message"])[-1]
            raise InputError(f"{host}: can't run {line['failed']} ({reason})")
        if "begins" in line:
            say(f"{host}: measuring {line['begins']}")
            measured.append(Measured(line["begins"]))
        if "celsius" in line:
            states.append({key: line[key] for key in ("celsius", "throttled")})
        if "photo" in line:
            measured[-1].found[line["photo"]] = line["boxes"], line["classes"], line["scores"]
            measured[-1].times.append(line["ms"])
        if "first_s" in line:
            measured[-1].first, measured[-1].peak = line["first_s"], line["peak_mb"]
        if "ends" in line:
            return measured, states
    raise EOFError


def say_full(host, place):
    return f"{host}: the disk is full, or a quota used up, at {place}; make room there"


def name_failure(host, process, said):
    """The fault, a text, of a connection that ended before its time."""
    for line in read_lines(process.stdout):  # what the board's program said last, if it could
        if "full" in line:
            return say_full(host, line["full"])
    end(process)
    said.seek(0)
    lines = [line for line in said.read().decode(errors="replace").strip().splitlines() if line.strip()]
    reason = lines[-1].strip() if lines else f"ssh ended with {process.returncode}"
    if process.returncode == 127 or "python3: not found" in reason or "python3: command not found" in reason:
        return f"{host}: has no python3; apt-get install python3 there"
    if process.returncode == 255:
        return f"{host}: the connection failed or was lost ({reason}); does `ssh {host}` work?"
    return f"{host}: its python3 ended early ({reason}); try `ssh {host} python3 --version`"


def end(process):
    """Closes the connection, which ends the board's program, and waits for ssh."""
    for stream in (process.stdin, process.stdout):
        try:
            stream.close()
        except BrokenPipeError:
            continue  # what was not sent yet has nowhere to go
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
