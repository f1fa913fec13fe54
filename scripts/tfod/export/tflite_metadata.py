"""The metadata in a TFLite detector, which mobile task libraries read: class names and normalization.

Its schema, version M001, is MediaPipe's metadata_schema.fbs; the tables below are those a detector needs. The class
names are a file in a zip archive that follows the model in the same file, and lie in the buffer of the entry
TFLITE_METADATA of the model itself that says what the file means. Nothing slow is imported here.
"""

import io
import json
import zipfile
from pathlib import Path

from tfod.utils.console import InputError

LABELS = "labels.txt"
NORMALIZATION = "normalization.json"  # mean and std once more, for programs without flatbuffers, as runner/detect.py
NO_LABEL = "???"  # the line of a class id that the label map leaves out, as task libraries know it
_ENTRY, _IDENTIFIER = "TFLITE_METADATA", b"M001"
DETECTION_OP = b"TFLite_Detection_PostProcess"


def list_labels(names: dict[int, str]) -> list[str]:
    """The lines of labels.txt for `names`, a dict id -> name: line 1 is the name of id 1, gaps are NO_LABEL."""
    return [names.get(number, NO_LABEL) for number in range(1, max(names, default=0) + 1)]


def write_metadata(
    model: bytes, labels: list[str], mean: list[float], std: list[float], name: str, description: str
) -> bytes:
    """`model`, the bytes of a TFLite detector, with metadata, as bytes.

    `labels` are the class names, the first for class 0. `mean` and `std` hold one float per channel: what the model
    takes is (pixel - mean) / std, of pixels from 0 to 255. The outputs come in the order boxes, classes, scores, count.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(bytearray(model))
    _order_outputs(content)
    content.metadata = [entry for entry in content.metadata or [] if entry.name != _ENTRY.encode()]
    content.metadata.append(schema.MetadataT(name=_ENTRY, buffer=len(content.buffers)))
    graph = content.subgraphs[0]
    shape = graph.tensors[graph.inputs[0]].shape
    size = int(shape[2]), int(shape[1])
    packed = _pack_metadata(labels, mean, std, name, description, size, len(graph.outputs))
    content.buffers.append(schema.BufferT(data=packed))
    return pack_model(content, labels, [list(mean), list(std)], 2 * len(model))


def pack_model(content, labels: list[str], normalization: list[list[float]], size: int) -> bytes:
    """The bytes of a TFLite file: `content` (ModelT of TFLite's schema), which it uses up, with class names and
    `normalization`, [mean, std], as in `write_metadata`. `size` is about that of the file, in bytes."""
    import flatbuffers

    content.buffers = [_AlignedBuffer(buffer) for buffer in content.buffers]
    builder = flatbuffers.Builder(size)
    builder.Finish(content.Pack(builder), b"TFL3")
    file = io.BytesIO(bytes(builder.Output()))
    with zipfile.ZipFile(file, "a") as archive:  # appended; stored, not compressed, since readers map it into memory
        archive.writestr(zipfile.ZipInfo(LABELS), "".join(f"{label}\n" for label in labels))
        archive.writestr(zipfile.ZipInfo(NORMALIZATION), json.dumps(normalization))
    return file.getvalue()


def read_metadata(path: str | Path) -> dict:
    """What the TFLite file `path` says of itself: a dict with `labels`, `mean`, `std`, `name` and `description`.

    `labels` are the class names, the first for class 0. Raises InputError where there is no metadata of a detector.
    """
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    data = Path(path).read_bytes()
    if data[4:8] != b"TFL3":
        raise InputError(f"{path}: is not a TFLite model; `make tflite` makes one")
    model = schema.Model.GetRootAsModel(data, 0)
    entries = {model.Metadata(i).Name(): model.Metadata(i).Buffer() for i in range(model.MetadataLength())}
    if _ENTRY.encode() not in entries:
        raise InputError(f"{path}: holds no metadata; `make tflite` writes it, or name a label map")
    try:
        packed = model.Buffers(entries[_ENTRY.encode()]).DataAsNumpy().tobytes()
        root = _Reader.of(packed)
        graph = root.tables(3)[0]
        options = graph.tables(2)[0].tables(4)[0].table(1)
        category = next(table for table in graph.tables(3) if table.text(0) == "category")
        files = [file.text(0) for file in category.tables(6) if file.number(2) == 3]
        found = {"mean": options.floats(0), "std": options.floats(1), "name": root.text(0), "description": root.text(1)}
    except Exception as error:  # a damaged table leads anywhere
        raise InputError(f"{path}: its metadata is damaged; make it again") from error
    sound = all(len(found[key]) in (1, 3) and np.isfinite(found[key]).all() for key in ("mean", "std"))
    if not sound or not all(found["std"]):
        raise InputError(f"{path}: its metadata has no mean and std of the colours; make it again")
    try:
        with zipfile.ZipFile(path) as archive:
            labels = archive.read(files[0]).decode().splitlines()
    except Exception as error:  # as above
        raise InputError(f"{path}: its metadata names no class names that are there; make it again") from error
    return {"labels": labels, **found}


def _order_outputs(content):
    """Puts the model's outputs into the order boxes, classes, scores, count; the converter sorts them by name.

    That is the order of the detection op's outputs. CenterNet has no such op; upstream returns its outputs the other
    way round, and the converter names them output_0, output_1 and so on.
    """
    graph = content.subgraphs[0]
    for operator in graph.operators:
        if content.operatorCodes[operator.opcodeIndex].customCode == DETECTION_OP:
            graph.outputs = operator.outputs
            return
    names = {output.name: output.tensorIndex for output in content.signatureDefs[0].outputs}
    graph.outputs = [names[name] for name in sorted(names, reverse=True)]


class _AlignedBuffer:
    """A model's buffer that begins at a multiple of 16 bytes, as the schema asks; Python's own packing forgets that."""

    def __init__(self, buffer):
        self.buffer = buffer

    def Pack(self, builder):
        from ai_edge_litert import schema_py_generated as schema

        data = self.buffer.data
        if data is not None:
            size = len(data)
            builder.StartVector(1, size, 16)
            builder.head -= size
            builder.Bytes[builder.head : builder.head + size] = bytes(data)
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def _pack_metadata(labels, mean, std, name, description, size, outputs):
    """The ModelMetadata of a detector with so many outputs as bytes; `size` is (width, height) of its input."""
    import flatbuffers

    make = _Writer(flatbuffers.Builder(1024))

    def tensor(name, description, kind, properties, first=None, units=None, files=None):
        range_ = first and make.table({0: ("Int32", first), 1: ("Int32", first)})
        content = make.table({0: ("Uint8", kind), 1: properties, 2: range_})
        return make.table(
            {0: make.text(name), 1: make.text(description), 3: content, 4: units and make.vector(units), 6: files}
        )

    table = make.table({0: ("Uint32", size[0]), 1: ("Uint32", size[1])})
    image = make.table({0: ("Int8", 1), 1: table})  # RGB
    options = make.table({0: make.numbers("Float32", mean), 1: make.numbers("Float32", std)})
    unit = make.table({0: ("Uint8", 1), 1: options})  # NormalizationOptions
    source = tensor("image", "The photo, RGB.", 2, image, units=[unit])
    order = make.numbers("Uint32", [1, 0, 3, 2])  # of left, top, right, bottom in the tensor
    corners = make.table({0: order, 1: ("Int8", 1), 2: ("Int8", 0)})  # boundaries, as shares of the image
    # TENSOR_VALUE_LABELS: the tensor's values are line numbers, from 0, of the file
    file = make.table({0: make.text(LABELS), 1: make.text("The class names."), 2: ("Int8", 3)})
    results = [
        tensor("location", "Boxes: ymin, xmin, ymax, xmax from 0 to 1.", 3, corners, 2),
        tensor("category", "Classes, from 0.", 1, make.table({}), 2, files=make.vector([file])),
        tensor("score", "Scores, from 0 to 1, best first.", 1, make.table({}), 2),
        tensor("number of detections", "How many detections there are.", 1, make.table({})),
    ]
    results += [tensor(f"output {i}", "Keypoints.", 1, make.table({})) for i in range(len(results), outputs)]
    names = make.vector([make.text(word) for word in ("location", "category", "score")])
    group = make.table({0: make.text("detection_result"), 1: names})
    graph = make.table({2: make.vector([source]), 3: make.vector(results), 8: make.vector([group])})
    fields = {0: make.text(name), 1: make.text(description), 3: make.vector([graph]), 7: make.text("1.2.0")}
    make.builder.Finish(make.table(fields), _IDENTIFIER)
    return bytes(make.builder.Output())


class _Writer:
    """Writes flatbuffer tables: a dict of slot -> offset of what was written before, or (kind, number), or None."""

    def __init__(self, builder):
        self.builder = builder

    def text(self, text):
        return self.builder.CreateString(text)

    def vector(self, offsets):
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return self.builder.EndVector()

    def numbers(self, kind, values):
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            getattr(self.builder, f"Prepend{kind}")(value)
        return self.builder.EndVector()

    def table(self, fields):
        self.builder.StartObject(max(fields, default=-1) + 1)
        for slot, value in fields.items():
            if isinstance(value, tuple):
                getattr(self.builder, f"Prepend{value[0]}Slot")(slot, value[1], 0)
            elif value is not None:
                self.builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return self.builder.EndObject()


class _Reader:
    """Reads what `_Writer` writes, and what other writers of the schema do."""

    def __init__(self, table):
        self._table = table

    @classmethod
    def of(cls, data):
        import flatbuffers
        from flatbuffers.table import Table

        return cls(Table(data, flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0)))

    def _find(self, slot):
        offset = self._table.Offset(4 + 2 * slot)
        return offset and self._table.Pos + offset

    def text(self, slot):
        where = self._find(slot)
        return self._table.String(where).decode() if where else ""

    def number(self, slot):
        from flatbuffers import number_types

        return self._table.Get(number_types.Int8Flags, self._find(slot)) if self._find(slot) else 0

    def table(self, slot):
        from flatbuffers.table import Table

        return _Reader(Table(self._table.Bytes, self._table.Indirect(self._find(slot))))

    def tables(self, slot):
        from flatbuffers.table import Table

        if not self._find(slot):
            return []
        offset = self._find(slot) - self._table.Pos
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        return [_Reader(Table(self._table.Bytes, self._table.Indirect(start + 4 * i))) for i in range(count)]

    def floats(self, slot):
        from flatbuffers import number_types

        if not self._find(slot):
            return []
        offset = self._find(slot) - self._table.Pos
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        return [self._table.Get(number_types.Float32Flags, start + 4 * i) for i in range(count)]
