"""The rival of bench_data.py: records made as tutorials make them, in one process and without a check.

    python tests/bench/tutorial_way.py FOLDER LABEL_MAP OUTPUT

All boxes go into a pandas table, which is grouped by image; of each image the header is read with Pillow, and its bytes
are copied into a tf.train.Example. (An image is found by its XML file's name here: the linked XML files of the
benchmark hold another one.)
"""

import io
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import tfod.compat  # noqa: F401 - lets object_detection be imported

import pandas as pd
import tensorflow as tf
from object_detection.utils import label_map_util
from PIL import Image


def read_boxes(folder):
    rows = []
    for path in sorted(folder.glob("*.xml")):
        for element in ElementTree.parse(path).getroot().findall("object"):
            edges = [int(element.find("bndbox").find(edge).text) for edge in ("xmin", "ymin", "xmax", "ymax")]
            rows.append((f"{path.stem}.jpg", element.find("name").text, *edges))
    return pd.DataFrame(rows, columns=["filename", "class", "xmin", "ymin", "xmax", "ymax"])


def make_example(folder, filename, boxes, ids):
    with tf.io.gfile.GFile(str(folder / filename), "rb") as file:
        encoded = file.read()
    width, height = Image.open(io.BytesIO(encoded)).size
    columns = {"label": [], "text": [], "xmin": [], "ymin": [], "xmax": [], "ymax": []}
    for _, box in boxes.iterrows():
        columns["label"].append(ids[box["class"]])
        columns["text"].append(box["class"].encode())
        for edge, size in (("xmin", width), ("xmax", width), ("ymin", height), ("ymax", height)):
            columns[edge].append(box[edge] / size)

    def hold(texts=None, floats=None, ints=None):
        if texts is not None:
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
        if floats is not None:
            return tf.train.Feature(float_list=tf.train.FloatList(value=floats))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=ints))

    feature = {
        "image/height": hold(ints=[height]),
        "image/width": hold(ints=[width]),
        "image/filename": hold(texts=[filename.encode()]),
        "image/source_id": hold(texts=[filename.encode()]),
        "image/encoded": hold(texts=[encoded]),
        "image/format": hold(texts=[b"jpg"]),
        "image/object/class/text": hold(texts=columns["text"]),
        "image/object/class/label": hold(ints=columns["label"]),
    }
    for edge in ("xmin", "ymin", "xmax", "ymax"):
        feature[f"image/object/bbox/{edge}"] = hold(floats=columns[edge])
    return tf.train.Example(features=tf.train.Features(feature=feature))


def main():
    folder, label_map, output = map(Path, sys.argv[1:])
    ids = label_map_util.get_label_map_dict(str(label_map))
    with tf.io.TFRecordWriter(str(output)) as writer:
        for filename, boxes in read_boxes(folder).groupby("filename"):
            writer.write(make_example(folder, filename, boxes, ids).SerializeToString())


if __name__ == "__main__":
    main()
