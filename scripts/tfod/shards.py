"""Top module: the files of a set of records, written whole or not at all, by several processes.

A set is one file, `train.record`, or as the OD API knows it N shards, `train.record-00000-of-0000N` and so on.
"""

import collections
import contextlib
import errno
import glob
import os
import re
from pathlib import Path

from tfod.console import InputError
from tfod.files import make_room
from tfod.parallel import fork_workers, receive
from tfod.tfrecord import frame_record

CHUNK = 8  # photos that a worker holds in memory at a time; it has up to two such chunks
_SHARD = re.compile(r"(?P<set>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})", re.DOTALL)


def name_records(output, num_shards):
    """The paths of the set `output`: the file itself, or its `num_shards` shards where these are several."""
    if num_shards == 1:
        return [Path(output)]
    return [Path(f"{output}-{number:05d}-of-{num_shards:05d}") for number in range(num_shards)]


def list_shards(output):
    """The shards of the set `output` that are there, of whatever count, sorted."""
    found = [_SHARD.fullmatch(path) for path in glob.glob(f"{glob.escape(str(output))}-*-of-*")]
    return sorted(Path(shard.string) for shard in found if shard and shard["set"] == str(output))


def find_records_of(name):
    """The files of a set of records: of a file, a set of shards by its name, or a pattern as a pipeline.config has it.

    Raises InputError if there are none, or if shards are missing: then a run was ended before it wrote them all.
    """
    paths = [Path(name)] if Path(name).is_file() else list_shards(name)
    paths = paths or sorted(path for path in map(Path, glob.glob(str(name))) if path.is_file())
    if not paths:
        raise InputError(f"{name}: there are no such records; `make tfrecord` makes them")
    numbers = collections.defaultdict(set)
    for path in paths:
        if shard := _SHARD.fullmatch(str(path)):
            numbers[shard["set"], int(shard["count"])].add(int(shard["number"]))
    faults = []
    for (output, count), there in numbers.items():
        missing = len(set(range(count)) - there)
        if missing:
            faults.append(
                f"{output}: {missing} of its {count} shards are missing, a run was ended before it wrote them all;"
                " make the records anew"
            )
    if len({output for output, _ in numbers}) < len(numbers):
        counts = ", ".join(str(count) for _, count in sorted(numbers))
        faults.append(f"{name}: there are sets of {counts} shards; remove all but one, or make the records anew")
    if faults:
        raise InputError(*faults)
    return paths


@contextlib.contextmanager
def replace_records(output, num_shards):
    """Yields temporary paths, one for each file; after the block these are the only records of the set `output`.

    Several files can't change their names at once. So the former ones go first: whenever the run is killed, what is
    left is the former set, a set with shards missing, as `find_records_of` tells, or the new one; never a mixture.
    """
    paths = name_records(output, num_shards)
    with make_room(output) as room:
        fresh = [room / path.name for path in paths]
        yield fresh
        for path in [*list_shards(output), Path(output)]:
            if path != paths[0] or num_shards > 1:
                path.unlink(missing_ok=True)  # a single file gives way in one step
        for new, path in zip(fresh, paths, strict=True):
            new.replace(path)


def write_examples(paths, count, make_example, workers, update):
    """Writes `count` records into the files `paths`, evenly and in order, with so many worker processes.

    `make_example(index)` gives the pieces of an example; it runs in a worker. `update(done)` is called as the work
    goes on. The bytes do not depend on the number of workers. Raises InputError where the disk is full, and what
    `make_example` or a worker's end raises.
    """
    # Each worker frames a chunk of records and tells its size. The parent knows from the sizes of all chunks before
    # where it belongs, and tells the worker, which writes it there: the photos' bytes never leave the worker.
    framed = collections.deque()  # in each worker, what it has not written yet
    file = None

    def answer(message):
        nonlocal file
        if isinstance(message, tuple):
            number, shard, start, stop = message
            pieces = [piece for index in range(start, stop) for piece in frame_record(make_example(index))]
            framed.append((paths[shard], pieces, stop - start))
            return number, shard, sum(map(len, pieces))
        path, pieces, photos = framed.popleft()
        if file is None or file.name != str(path):
            file = path.open("r+b", buffering=0)
        while pieces:  # a disk that fills up takes a part at first, and says so only when it is given the rest
            written = os.pwritev(file.fileno(), pieces[:1000], message)  # the system takes no more than 1024
            message += written
            pieces = _drop(pieces, written)
        return photos

    for path in paths:
        path.touch()
    with _name_full_disk(paths[0].parent.parent), fork_workers(answer, workers) as pool:
        _hand_out(pool, _cut(count, len(paths)), update)


def _drop(pieces, size):
    """What is left of the pieces without their first `size` bytes."""
    for position, piece in enumerate(pieces):
        if size < len(piece):
            return [piece[size:], *pieces[position + 1 :]]
        size -= len(piece)
    return []


def _cut(count, shards):
    """Yields (number from 0, shard, first index, index after the last) of each chunk."""
    number = 0
    for shard in range(shards):
        first, last = count * shard // shards, count * (shard + 1) // shards
        for start in range(first, last, CHUNK):
            yield number, shard, start, min(start + CHUNK, last)
            number += 1


def _hand_out(pool, chunks, update):
    """Has the workers frame and write all chunks."""
    idle, framed = pool * 2, {}  # two chunks each: none waits for the size of another's
    shard = offset = number = done = under_way = 0
    while True:
        for worker, chunk in zip(idle, chunks, strict=False):
            worker.send(chunk)
            under_way += 1
        if not under_way:
            return
        idle = []
        for worker, answer in receive(pool):
            if isinstance(answer, tuple):
                framed[answer[0]] = (worker, *answer[1:])
            else:
                idle.append(worker)
                under_way -= 1
                done += answer
                update(done)
        while number in framed:
            worker, its_shard, size = framed.pop(number)
            shard, offset = its_shard, offset if its_shard == shard else 0
            worker.send(offset)
            offset, number = offset + size, number + 1


@contextlib.contextmanager
def _name_full_disk(folder):
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise InputError(f"{folder}: can't hold the records ({error.strerror}); free some space there") from None
