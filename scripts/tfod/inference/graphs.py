"""Graphs of exported detectors, made smaller and faster before they run. `tf` is TensorFlow."""


def prune_graph(tf, graph_def, nodes):
    """The part of `graph_def` that `nodes` (names) need: less than a third of an export's bytes, most are gradients."""
    part = tf.compat.v1.graph_util.extract_sub_graph(graph_def, nodes)
    library = {function.signature.name: function for function in graph_def.library.function}
    needed, found = {}, [part.node]
    while found:
        for node in found.pop():
            called = [node.op]
            for attribute in node.attr.values():
                called += [attribute.func.name, *(function.name for function in attribute.list.func)]
            for name in called:
                if name in library and name not in needed:
                    needed[name] = library[name]
                    found.append(library[name].node_def)
    part.library.function.extend(needed.values())
    return part


def raise_least_score(tf, graph_def, score):
    """Has the last non-maximum suppression of a graph leave out what scores less than `score`.

    The detections above it stay the same, since a box is suppressed by better ones only; but an export looks at
    thousands of boxes with next to no score, which takes a tenth of its time.
    """
    import numpy as np

    least = np.nextafter(np.float32(score), np.float32(0))  # the operation keeps what is greater
    for nodes in (graph_def.node, *(function.node_def for function in graph_def.library.function)):
        by_name = {node.name: node for node in nodes}
        for node in nodes:
            # SecondStagePostprocessor's, too; the suppression of proposals has another name
            if node.op != "NonMaxSuppressionV5" or "Postprocessor/" not in node.name:
                continue
            threshold, sigma = (by_name.get(name.split(":")[0]) for name in node.input[4:6])
            if not (threshold and sigma and threshold.op == sigma.op == "Const"):
                continue
            now, soft = (tf.make_ndarray(constant.attr["value"].tensor) for constant in (threshold, sigma))
            if soft == 0 and now < least:  # soft suppression changes scores
                threshold.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(least, tf.float32))
