"""TFRecords: TensorFlow and the OD API read back from them what went in."""

import hashlib
import io

import numpy as np
import pytest
from conftest import draw_photo, label_photo
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from tfod.data import images
from tfod.data.images import check_image, read_image
from tfod.data.label_map import write_label_map
from tfod.data.labelled_images import check_photo
from tfod.data.tfrecord import (
    count_boxes,
    encode_image,
    make_example,
    make_photo_example,
    parse_example,
    read_records,
    write_records,
)
from tfod.data.voc import Box

TURNED = Image.Exif()
TURNED[ExifTags.Base.Orientation] = 6
# name of a file -> (mode, how it is saved, what the record must hold: "copy", "jpeg" or "png")
FILES = {
    "a.jpg": ("RGB", {}, "copy"),
    "progressive.JPEG": ("RGB", {"progressive": True}, "copy"),
    "grey.JPG": ("L", {}, "copy"),
    "several.jpg": ("RGB", {"format": "MPO", "save_all": True, "append_images": [draw_photo(7)]}, "copy"),
    "really_a_png.jpg": ("RGB", {"format": "PNG"}, "copy"),
    "a.PNG": ("RGB", {}, "copy"),
    "grey.png": ("L", {}, "copy"),
    "grey_alpha.png": ("LA", {}, "copy"),
    "alpha.png": ("RGBA", {}, "copy"),
    "palette.png": ("P", {"transparency": bytes(range(256))}, "copy"),
    "bits.png": ("1", {}, "copy"),
    "cmyk.jpg": ("CMYK", {}, "jpeg"),
    "turned.jpg": ("RGB", {"exif": TURNED}, "jpeg"),
    "turned.png": ("RGB", {"exif": TURNED}, "png"),
    "sixteen.png": ("I;16", {}, "png"),
    "a.gif": ("P", {}, "png"),
    "猫.bmp": ("RGB", {}, "png"),
    "a.webp": ("RGB", {}, "jpeg"),
    "lossless.webp": ("RGBA", {"lossless": True}, "png"),
    "a.tif": ("CMYK", {"compression": "tiff_lzw"}, "png"),
}


def save_file(folder, name):
    mode, options, _ = FILES[name]
    if mode == "I;16":
        image = Image.fromarray(np.arange(96 * 64, dtype=np.uint16).reshape(64, 96) * 10)
    else:
        image = draw_photo(len(name)).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("name", FILES)
def test_bytes_are_copied_or_encoded_anew_from_the_upright_pixels(tmp_path, name):
    path = save_file(tmp_path, name)
    encoded, image_format = encode_image(path, check_image(path))
    if FILES[name][2] == "copy":
        assert encoded == path.read_bytes()
    else:
        assert image_format == FILES[name][2]
    image = Image.open(io.BytesIO(encoded))
    assert image.format.replace("MPO", "JPEG") == image_format.upper()
    assert not image.getexif()
    copy = tmp_path / f"copy.{image_format}"
    copy.write_bytes(encoded)
    difference = np.abs(np.asarray(read_image(copy), int) - np.asarray(read_image(path), int))
    assert difference.mean() < (4 if FILES[name][2] == "jpeg" else 1e-9)


names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def tf():
    """TensorFlow and the OD API's decoder take seconds to import, so all that needs them comes in this file's end."""
    import tfod.compat  # noqa: F401  (lets object_detection be imported)

    import tensorflow

    return tensorflow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("records")


@settings(max_examples=50)
@given(
    names,
    st.binary(max_size=3000),
    st.sampled_from(["jpeg", "png"]),
    st.integers(1, 20000),
    st.integers(1, 20000),
    st.dictionaries(names, st.integers(1, 2**31 - 1), min_size=1),
    st.data(),
)
def test_tensorflow_reads_every_feature(tf, folder, filename, encoded, image_format, width, height, ids, data):
    unit = st.floats(0, 1)
    flag = st.integers(0, 1)
    drawn = st.tuples(st.sampled_from(sorted(ids)), unit, unit, unit, unit, flag, flag, names)
    drawn = data.draw(st.lists(drawn, max_size=4))
    boxes = [Box(name, a * width, b * height, c * width, d * height, *more) for name, a, b, c, d, *more in drawn]
    write_records(folder / "a.record", [make_example(filename, encoded, image_format, width, height, boxes, ids)])
    (record,) = tf.data.TFRecordDataset(str(folder / "a.record")).as_numpy_iterator()
    assert record == make_example(filename, encoded, image_format, width, height, boxes, ids)
    assert list(read_records(folder / "a.record")) == [record]
    assert parse_example(record) == read_features(tf, record)
    assert list(count_boxes(folder / "a.record")) == [len(boxes)]

    def bytes_list(values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    def floats(values):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    def ints(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = {
        "image/height": ints([height]),
        "image/width": ints([width]),
        "image/filename": bytes_list([filename.encode()]),
        "image/source_id": bytes_list([filename.encode()]),
        "image/key/sha256": bytes_list([hashlib.sha256(encoded).hexdigest().encode()]),
        "image/encoded": bytes_list([encoded]),
        "image/format": bytes_list([image_format.encode()]),
        "image/object/bbox/xmin": floats([box.xmin / width for box in boxes]),
        "image/object/bbox/xmax": floats([box.xmax / width for box in boxes]),
        "image/object/bbox/ymin": floats([box.ymin / height for box in boxes]),
        "image/object/bbox/ymax": floats([box.ymax / height for box in boxes]),
        "image/object/class/text": bytes_list([box.name.encode() for box in boxes]),
        "image/object/class/label": ints([ids[box.name] for box in boxes]),
        "image/object/difficult": ints([box.difficult for box in boxes]),
        "image/object/truncated": ints([box.truncated for box in boxes]),
        "image/object/view": bytes_list([box.pose.encode() for box in boxes]),
    }
    wanted = tf.train.Example(features=tf.train.Features(feature=features))
    assert tf.train.Example.FromString(record) == wanted
    assert record == wanted.SerializeToString(deterministic=True)
    # and back to pixels, within a float32's error
    read = tf.io.parse_single_example(record, {"image/object/bbox/xmax": tf.io.VarLenFeature(tf.float32)})
    pixels = read["image/object/bbox/xmax"].values.numpy() * width
    np.testing.assert_allclose(pixels, [box.xmax for box in boxes], rtol=1e-6, atol=1e-30)


def read_features(tf, record):
    """What TensorFlow finds in an example: dict key -> list."""
    found = {}
    for key, feature in tf.train.Example.FromString(record).features.feature.items():
        kind = feature.WhichOneof("kind")
        found[key] = list(getattr(feature, kind).value) if kind else []
    return found


float32s = st.floats(width=32, allow_nan=False)
int64s = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=100)
@given(st.lists(st.dictionaries(names, st.one_of(*(st.lists(v) for v in (st.binary(), float32s, int64s)))), max_size=5))
def test_what_tensorflow_writes_is_read(tf, folder, examples):
    kinds = {bytes: "bytes_list", float: "float_list", int: "int64_list"}
    written = []
    with tf.io.TFRecordWriter(str(folder / "b.record")) as writer:
        for features in examples:
            example = tf.train.Example()
            for key, values in features.items():
                feature = example.features.feature[key]
                if values:
                    getattr(feature, kinds[type(values[0])]).value.extend(values)
            written.append(example.SerializeToString())
            writer.write(written[-1])
    read = list(read_records(folder / "b.record"))
    assert read == written
    assert [parse_example(record) for record in read] == examples


@settings(max_examples=300)
@given(st.data())
def test_any_bytes_are_an_example_or_a_value_error(data):
    example = make_example("a.jpg", b"image", "jpeg", 9, 9, [Box("cat", 1, 2, 3, 4)], {"cat": 1})
    changed = bytearray(example)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    for damaged in (bytes(changed), example[: data.draw(st.integers(0, len(example)))]):
        try:
            features = parse_example(damaged)
        except ValueError:
            continue
        assert all(isinstance(values, list) for values in features.values())


def features_of(tf, record):
    return tf.train.Example.FromString(record.numpy()).features.feature


def test_tensorflow_finds_a_changed_byte(tf, tmp_path):
    write_records(tmp_path / "a.record", [b"some example"])
    changed = bytearray((tmp_path / "a.record").read_bytes())
    for position in range(len(changed)):
        changed[position] ^= 1
        (tmp_path / "a.record").write_bytes(changed)
        with pytest.raises((tf.errors.DataLossError, tf.errors.OutOfRangeError)):
            list(tf.data.TFRecordDataset(str(tmp_path / "a.record")))
        changed[position] ^= 1


def test_the_od_api_decodes_the_pixels_and_boxes_of_every_kind_of_file(tf, tmp_path):
    from object_detection.data_decoders.tf_example_decoder import TfExampleDecoder
    from object_detection.utils import label_map_util

    ids = {"cat": 1, "浣熊's \\": 2}
    write_label_map(tmp_path / "label_map.pbtxt", ids)
    assert label_map_util.get_label_map_dict(str(tmp_path / "label_map.pbtxt")) == ids
    paths = [save_file(tmp_path, name) for name in FILES]

    def make(path):
        stored = check_image(path)
        width, height = stored.upright_size
        boxes = [Box("浣熊's \\", 10, 20, 30, 40), Box("cat", 0, 0, width, height, difficult=1)]
        boxes = [] if path.name == "a.gif" else boxes  # an image without objects
        return make_example(path.name, *encode_image(path, stored), width, height, boxes, ids)

    write_records(tmp_path / "a.record", map(make, paths))
    decoder = TfExampleDecoder(label_map_proto_file=str(tmp_path / "label_map.pbtxt"))
    records = list(tf.data.TFRecordDataset(str(tmp_path / "a.record")))
    assert len(records) == len(paths)
    for path, record in zip(paths, records, strict=True):
        decoded = decoder.decode(record)
        wanted = read_image(path)
        difference = np.abs(decoded["image"].numpy().astype(int) - np.asarray(wanted, int))
        # TensorFlow's JPEG decoder rounds otherwise, and a second time JPEG costs a little more; a turn or other
        # colours would be off by far more.
        jpeg = features_of(tf, record)["image/format"].bytes_list.value == [b"jpeg"]
        assert difference.mean() < (4 if jpeg else 1e-9), path.name
        assert decoded["filename"].numpy().decode() == path.name
        if path.name == "a.gif":
            assert decoded["groundtruth_boxes"].shape == (0, 4)
            continue
        width, height = wanted.size
        pixels = decoded["groundtruth_boxes"].numpy() * [height, width, height, width]
        np.testing.assert_allclose(pixels, [[20, 10, 40, 30], [0, 0, height, width]], atol=1e-4)
        assert decoded["groundtruth_classes"].numpy().tolist() == [2, 1]
        assert decoded["groundtruth_difficult"].numpy().tolist() == [0, 1]


@pytest.mark.attack
@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "jpeg"), ("a.png", "png")])
def test_a_very_large_photo_is_stored_halved_with_the_same_boxes(tmp_path, monkeypatch, name, kind):
    label_photo(tmp_path, name, boxes=[Box("cat", 12, 8, 48, 32)])
    photo, _, _, _ = check_photo(tmp_path / name, tmp_path / "a.xml")
    whole = parse_example(make_photo_example(photo, {"cat": 1}))
    assert whole["image/encoded"] == [(tmp_path / name).read_bytes()]
    monkeypatch.setattr(images, "WORKABLE", 96 * 64 - 1)
    half = parse_example(make_photo_example(photo, {"cat": 1}))
    assert (half["image/width"], half["image/height"], half["image/format"]) == ([48], [32], [kind.encode()])
    with Image.open(io.BytesIO(half["image/encoded"][0])) as image:
        assert image.size == (48, 32)
    different = {"image/encoded", "image/width", "image/height", "image/key/sha256"}
    assert {key for key in whole if whole[key] != half[key]} == different
