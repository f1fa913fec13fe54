"""TFRecord files of labelled images, with the feature keys that the OD API reads, as one file or as a set of shards.

They are written and read without TensorFlow, whose import takes longer than the work itself.
"""

import collections
import contextlib
import glob
import hashlib
import io
import re
import struct
from pathlib import Path

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from tfod.data.images import read_image, read_workable
from tfod.data.labelled_images import LabelledPhoto, ReadOptions, read_photo
from tfod.utils.console import InputError, show_progress
from tfod.utils.files import claim, make_room, write_whole
from tfod.utils.parallel import map_in_processes

# tf.train.Example as protobuf knows it, in a pool of its own: TensorFlow, which brings it, takes seconds to import.
_DESCRIPTION = """
name: "example.proto" package: "tfod" syntax: "proto3"
message_type { name: "BytesList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type { name: "Feature" oneof_decl { name: "kind" }
  field { name: "bytes_list" number: 1 type: TYPE_MESSAGE type_name: ".tfod.BytesList" oneof_index: 0 }
  field { name: "float_list" number: 2 type: TYPE_MESSAGE type_name: ".tfod.FloatList" oneof_index: 0 }
  field { name: "int64_list" number: 3 type: TYPE_MESSAGE type_name: ".tfod.Int64List" oneof_index: 0 } }
message_type { name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".tfod.Features.FeatureEntry" }
  nested_type { name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".tfod.Feature" } } }
message_type { name: "Example" field { name: "features" number: 1 type: TYPE_MESSAGE type_name: ".tfod.Features" } }
"""
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(text_format.Parse(_DESCRIPTION, descriptor_pb2.FileDescriptorProto()))
Example = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("tfod.Example"))
CHUNK = 8  # photos that a worker makes records of between two messages
_SHARD = re.compile(r"(?P<set>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})", re.DOTALL)


def encode_image(path, stored):
    """The file of an image as TensorFlow is to get it: (bytes, "jpeg" or "png"). `stored` is its `StoredImage`.

    An upright JPEG or PNG that TensorFlow decodes to the pixels of `read_image` is copied as it is. All else is
    encoded again from these pixels: as JPEG (quality 95) where the file was compressed with loss, as PNG where not.
    """
    data = Path(path).read_bytes()
    if stored.is_plain:
        return data, "png" if stored.format == "PNG" else "jpeg"
    return _encode_pixels(read_image(path, stored.is_cut), stored, data)


def _encode_pixels(image, stored, data):
    """The image as (bytes, "jpeg" or "png"); `data` are the bytes of the file that it comes from."""
    lossy = stored.format in ("JPEG", "MPO") or (stored.format == "WEBP" and b"VP8L" not in data)
    image.info.clear()  # nothing but the pixels goes on
    encoded = io.BytesIO()
    if lossy:
        image.save(encoded, "JPEG", quality=95)
    else:
        image.save(encoded, "PNG")
    return encoded.getvalue(), "jpeg" if lossy else "png"


def write_photo_records(
    output: Path,
    pairs: list[tuple[Path, Path | None]],
    names_to_ids: dict[str, int],
    reading: ReadOptions,
    num_shards: int,
    workers: int,
    maker: str,
) -> None:
    """Writes the records of photos, (image path, XML path or None), in this order: the set `output`, whole.

    `maker` is whose they are, as in `write_whole`. Raises InputError if a photo was changed since it was checked.
    """

    def make(index):
        return make_photo_example(read_photo(*pairs[index], reading), names_to_ids)

    with replace_records(output, num_shards) as fresh, show_progress("writing", len(pairs)) as update:
        write_examples(fresh, len(pairs), make, workers, update)
        claim(output, maker, [*name_records(output, num_shards), output, *list_shards(output)])


def make_photo_example(photo: LabelledPhoto, names_to_ids: dict[str, int]) -> bytes:
    """The example, as `make_example` makes it, of a `LabelledPhoto`; large ones are halved: `read_workable`."""
    size = (photo.width, photo.height)
    if photo.stored.is_workable:
        encoded, smaller = encode_image(photo.path, photo.stored), None
    else:
        image, _ = read_workable(photo.path, photo.stored.is_cut)
        encoded, smaller = _encode_pixels(image, photo.stored, photo.path.read_bytes()), image.size
    return make_example(photo.path.name, *encoded, *size, photo.boxes, names_to_ids, smaller)


def make_example(filename, encoded, image_format, width, height, boxes, names_to_ids, stored_size=None):
    """A serialized `tf.train.Example` of one image.

    `encoded` are the image's bytes; `image_format` says what they are, "jpeg" or "png"; `width` and `height` are its
    size in pixels. `boxes` are `tfod.data.voc.Box`, in pixels within the image; they are stored normalized to 0..1.
    `stored_size` is (width, height) of what is encoded, if that is less.
    """
    stored_width, stored_height = stored_size or (width, height)
    example = Example()
    features = example.features.feature
    for key, values in {
        "image/encoded": [encoded],
        "image/filename": [filename.encode()],
        "image/format": [image_format.encode()],
        "image/key/sha256": [hashlib.sha256(encoded).hexdigest().encode()],
        "image/object/class/text": [box.name.encode() for box in boxes],
        "image/object/view": [box.pose.encode() for box in boxes],
        "image/source_id": [filename.encode()],
    }.items():
        features[key].bytes_list.value.extend(values)
    for edge, size in (("xmin", width), ("ymin", height), ("xmax", width), ("ymax", height)):
        values = [getattr(box, edge) / size for box in boxes]
        features[f"image/object/bbox/{edge}"].float_list.value.extend(values)
    for key, values in {
        "image/height": [stored_height],
        "image/width": [stored_width],
        "image/object/class/label": [names_to_ids[box.name] for box in boxes],
        "image/object/difficult": [box.difficult for box in boxes],
        "image/object/truncated": [box.truncated for box in boxes],
    }.items():
        features[key].int64_list.value.extend(values)
    return example.SerializeToString(deterministic=True)


def write_record(file, example):
    """Writes one record into an open TFRecord file: its length, the bytes of the example, and a checksum of each."""
    length = struct.pack("<Q", len(example))
    file.write(length + _mask(google_crc32c.value(length)))
    file.write(example)
    file.write(_mask(google_crc32c.value(example)))


def write_records(path, examples):
    """Writes a TFRecord file whole, from an iterable of serialized examples."""
    with write_whole(path) as fresh, fresh.open("wb") as file:
        for example in examples:
            write_record(file, example)


def _mask(crc):
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


# ---------------------------------------------------------------- reading


def find_records(path):
    """Yields (number from 0, first byte, byte after the last) of each record's example in a TFRecord file.

    Only the frames are read, not what they hold. Raises InputError where a frame is broken: nothing after it can be
    found.
    """
    with Path(path).open("rb", buffering=0) as file:
        size = file.seek(0, io.SEEK_END)
        position = number = 0
        while position < size:
            file.seek(position)
            head = file.read(12)
            place = f"{path}: record {number + 1}, at byte {position}"
            if len(head) == 12 and head[8:] != _mask(google_crc32c.value(head[:8])):
                raise InputError(f"{place}: its length is damaged, or this is no TFRecord file; make the records again")
            end = position + 16 + int.from_bytes(head[:8], "little")
            if len(head) < 12 or end > size:
                raise InputError(f"{place}: the file ends within it, {size} bytes long; make the records again")
            yield number, position + 12, end - 4
            position, number = end, number + 1


def read_record(file, path, number, start, stop):
    """The example's bytes of a record that `find_records` found, from the open file. Checks them.

    Raises InputError if they are damaged.
    """
    file.seek(start)
    data = file.read(stop - start + 4)
    if len(data) < stop - start + 4 or data[-4:] != _mask(google_crc32c.value(data[:-4])):
        raise InputError(f"{path}: record {number + 1}, at byte {start - 12}: is damaged; make the records again")
    return data[:-4]


def read_records(path):
    """Yields the example's bytes of each record of a TFRecord file. Raises InputError where one is damaged."""
    with Path(path).open("rb") as file:
        for number, start, stop in find_records(path):
            yield read_record(file, path, number, start, stop)


def count_boxes(path):
    """Yields the number of boxes of each example of a TFRecord file."""
    for number, record in enumerate(read_records(path), start=1):
        try:
            yield len(parse_example(record).get("image/object/bbox/xmin", ()))
        except ValueError as error:
            raise InputError(f"{path}: record {number}: {error}; make the records again") from error


def parse_example(data):
    """The features of a serialized `tf.train.Example`: dict key -> list of bytes, floats or ints.

    Raises ValueError if it is not an Example.
    """
    try:
        features = Example.FromString(data).features.feature
    except DecodeError as error:
        raise ValueError(f"is not a tf.train.Example ({error})") from None
    found = {}
    for key, feature in features.items():
        kind = feature.WhichOneof("kind")
        found[key] = list(getattr(feature, kind).value) if kind else []
    return found


def count_records(path):
    """How many records a TFRecord file holds, without reading what is in them."""
    return sum(1 for _ in find_records(path))


def name_records(output, num_shards):
    """The paths of the set `output`: the file itself, or its `num_shards` shards where these are several."""
    if num_shards == 1:
        return [Path(output)]
    return [Path(f"{output}-{number:05d}-of-{num_shards:05d}") for number in range(num_shards)]


def name_set(output: str | Path, num_shards: int) -> str:
    """The set `output` as a pipeline.config names it: the file itself, or the pattern of its `num_shards` shards."""
    return str(output) if num_shards == 1 else f"{output}-?????-of-{num_shards:05d}"


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
