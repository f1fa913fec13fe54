"""A TFLite detector as a web page: a folder with everything the page needs, for any static web host.

The page's own files are in web_page/. It runs on LiteRT.js, and fflate for zips, both npm packages.
"""

import json
import re
import shutil
from pathlib import Path

from tfod.export.tflite_metadata import DETECTION_OP, NO_LABEL, pack_model, read_metadata
from tfod.utils.console import InputError
from tfod.utils.drawing import get_colour, get_text_colour

PAGE = Path(__file__).parent / "web_page"
LICENSE = Path(__file__).parents[3] / "LICENSE"  # Apache-2.0, LiteRT.js's too
MODEL = "model.json"  # what the page has to know of the model
# The build of LiteRT.js for every browser with WebAssembly SIMD (2021; Safari 2023), in one thread. The other builds
# need what some browsers or hosts lack, and two builds would make 20 MB.
RUNTIME = "litert_wasm_compat_internal"
_PACKAGES = {  # a file of the page's folder: the one in node_modules
    "litert/core.js": "@litertjs/core/dist/index.js",
    f"litert/{RUNTIME}.js": f"@litertjs/core/wasm/{RUNTIME}.js",
    f"litert/{RUNTIME}.wasm": f"@litertjs/core/wasm/{RUNTIME}.wasm",
    "litert/wasm-utils.js": "@litertjs/wasm-utils/dist/index.js",
    "fflate.js": "fflate/esm/browser.js",
}
_OUTPUTS = ("boxes", "classes", "scores", "count")


def list_sources(packages):
    """The files that the page's folder is made of, beside the model. `packages` is a node_modules folder.

    Raises InputError where it lacks some.
    """
    sources = [packages / name for name in _PACKAGES.values()]
    if missing := [path for path in sources if not path.is_file()]:
        raise InputError(f"{missing[0]}: is not there; `make web` installs what the page runs on")
    return [*sorted(PAGE.iterdir()), *sources, packages / "fflate/LICENSE"]


def write_page(folder, model, title, packages):
    """Writes the page of the TFLite file `model` into the new folder `folder`. Returns what model.json says.

    `title` is the page's, `packages` as in `list_sources`. Raises InputError where the file is not a detector of
    `make tflite`.
    """
    settings, data = read_model(model, title)
    shutil.copytree(PAGE, folder)
    (folder / "litert").mkdir()
    for name, source in _PACKAGES.items():
        content = (packages / source).read_bytes()
        if name.endswith(".js"):  # the source maps stay behind
            content = re.sub(rb"\n//# sourceMappingURL=\S+\s*$", b"\n", content)
        (folder / name).write_bytes(content)
    _name_neighbour(folder / "litert/core.js")
    (folder / settings["file"]).write_bytes(data)
    (folder / MODEL).write_text(json.dumps(settings, ensure_ascii=False, indent=1), encoding="utf-8")
    (folder / "LICENSES.txt").write_text(_describe_licences(packages), encoding="utf-8")
    return settings


def _name_neighbour(path):
    """Has the module name the other one by its place: browsers don't know npm's names."""
    text, count = re.subn(r'from "@litertjs/wasm-utils"', 'from "./wasm-utils.js"', path.read_text(encoding="utf-8"))
    if count != 1:
        raise InputError(f"{path.name}: is another LiteRT.js than the one of package-lock.json; remove WEB_VENV")
    path.write_text(text, encoding="utf-8")


def _describe_licences(packages):
    fflate = (packages / "fflate/LICENSE").read_text(encoding="utf-8")
    apache = LICENSE.read_text(encoding="utf-8")
    said = "litert/ is LiteRT.js by Google, under the Apache License 2.0, which is below."
    return f"{said}\n\nfflate.js:\n\n{fflate}\n{apache}"


def read_model(path, title):
    """(what the page has to know of a TFLite detector, a dict for json; the file's bytes for LiteRT.js).

    Raises InputError for a file that is not a detector of `make tflite`.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    metadata = read_metadata(path)
    data = path.read_bytes()
    content = schema.ModelT.InitFromPackedBuf(bytearray(data))
    try:
        quiet = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # which say on standard error that they are there
        interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=quiet)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path}: can't be run ({error}); make it again with `make tflite`") from error
    options = _read_options(content)
    outputs = _fill_output_shapes(path, content, interpreter)
    packed = pack_model(content, metadata["labels"], [metadata["mean"], metadata["std"]], 2 * len(data))
    settings = {
        "title": title,
        "file": path.name,
        "bytes": len(packed),
        "overlap": round(options.get("nms_iou_threshold", 1.0), 4),
        "input": _describe_input(interpreter.get_input_details()[0], metadata),
        "outputs": outputs,
        "classes": _list_classes(metadata["labels"], options.get("num_classes", 0)),
    }
    return settings, packed


def _read_options(content):
    """The options of the model's detection op, a dict; empty for CenterNet, which has none."""
    from flatbuffers import flexbuffers

    for operator in content.subgraphs[0].operators:
        if content.operatorCodes[operator.opcodeIndex].customCode == DETECTION_OP:
            return flexbuffers.Loads(bytes(operator.customOptions))
    return {}


def _fill_output_shapes(path, content, interpreter):
    """Writes the outputs' shapes into `content` (ModelT), since LiteRT.js makes room by them, and the converter leaves
    those of the detection op open. Returns a dict: what of _OUTPUTS -> its name in the model's signature."""
    graph = content.subgraphs[0]
    shapes = {detail["index"]: detail["shape"] for detail in interpreter.get_output_details()}
    for index, shape in shapes.items():
        graph.tensors[index].shape = shape
    places = list(graph.outputs)[: len(_OUTPUTS)]
    if [len(shapes[place]) for place in places] != [3, 2, 2, 1] or not content.signatureDefs:
        raise InputError(f"{path}: is not a detector of `make tflite`, which has boxes, classes, scores and a count")
    names = {output.tensorIndex: output.name.decode() for output in content.signatureDefs[0].outputs}
    return {what: names[place] for what, place in zip(_OUTPUTS, places, strict=True)}


def _describe_input(detail, metadata):
    """What the model takes: width and height in pixels, type, mean and std for each colour, quantization."""
    _, height, width, _ = (int(size) for size in detail["shape"])
    scale, zero = detail["quantization"]
    mean, std = (list(metadata[key]) * (3 // len(metadata[key])) for key in ("mean", "std"))
    kind = {"type": detail["dtype"].__name__, "mean": mean, "std": std, "scale": scale or 1, "zero": zero}
    return {"width": width, "height": height, **kind}


def _list_classes(labels, count):
    """The classes from 0: their names, and the colours in which `make infer` draws them."""
    names = [None if label == NO_LABEL else label for label in labels]
    names += [None] * (count - len(names))
    classes = []
    for number, name in enumerate(names, 1):
        line = get_colour(number)
        colours = {"line": _format_colour(line), "text": _format_colour(get_text_colour(line))}
        classes.append({"name": name or f"class {number}", "colours": colours})
    return classes


def _format_colour(colour):
    return "#{:02x}{:02x}{:02x}".format(*colour)
