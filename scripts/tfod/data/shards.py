"""The files of a set of records, written whole or not at all, by several processes.

A set is one file, `train.record`, or as the OD API knows it N shards, `train.record-00000-of-0000N` and so on.
"""

import collections
import contextlib
import glob
import re
from pathlib import Path

from tfod.data.tfrecord import write_record
from tfod.utils.console import InputError
from tfod.utils.files import make_room
from tfod.utils.parallel import map_in_processes

CHUNK = 8  # photos that a worker makes records of between two messages
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
                " make the records again"
            )
    if len({output for output, _ in numbers}) < len(numbers):
        counts = ", ".join(str(count) for _, count in sorted(numbers))
        faults.append(f"{name}: there are sets of {counts} shards; remove all but one, or make the records again")
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
    """Writes `count` records into the files `paths`, evenly and in order; so many worker processes make them.

    `make_example(index)` gives the bytes of an example; it runs in a worker. `update(done)` is called as the work goes
    on. Raises what `map_in_processes` raises, and OSError where the disk is full.
    """
    bounds = [count * shard // len(paths) for shard in range(len(paths) + 1)]
    chunks = [
        (shard, range(start, min(start + CHUNK, bounds[shard + 1])))
        for shard in range(len(paths))
        for start in range(bounds[shard], bounds[shard + 1], CHUNK)
    ]
    with contextlib.ExitStack() as stack:
        make = map_in_processes(lambda chunk: [make_example(index) for index in chunk[1]], chunks, workers)
        made = stack.enter_context(contextlib.closing(make))  # a full disk ends the workers, too
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for (shard, indices), examples in zip(chunks, made, strict=True):
            for example in examples:
                write_record(files[shard], example)
            update(indices.stop)
