"""Graphs made without autograph, which takes most of the time until the first step.

The OD API was written for TensorFlow 1: its control flow is tf.cond and tf.while_loop already, and autograph, which
rewrites the source of more than a hundred of its functions, leaves them as they were. What does need it, a Python `if`
on a tensor, raises an error without it, and is then done with it.
"""

import types

import tfod.compat  # noqa: F401 - a quiet TensorFlow, with Keras 2


def build_plainly(build, *arguments, **words):
    """`build(*arguments, **words)`, which makes graphs, as a tf.data pipeline does; a second time if it has to be."""
    import tensorflow as tf

    try:
        return tf.autograph.experimental.do_not_convert(build)(*arguments, **words)
    except tf.errors.OperatorNotAllowedInGraphError:
        return build(*arguments, **words)


def trace_plainly(function, **options):
    """As `tf.function(function, **options)`, to be called only: it has nothing else of a tf.function."""
    import tensorflow as tf

    # two of them: what a trace that failed has put into its graph, as updates of variables, must never run
    traced = [
        tf.function(tf.autograph.experimental.do_not_convert(function), **options),
        tf.function(function, **options),
    ]

    def call(*arguments):
        try:
            return traced[0](*arguments)
        except tf.errors.OperatorNotAllowedInGraphError:
            if len(traced) == 1:
                raise
            del traced[0]
            return traced[0](*arguments)

    return call


def trace_method_plainly(module, name, *signature):
    """The concrete function of the tf.function `name` of a tf.Module, which is replaced by what was traced."""
    import tensorflow as tf

    method = getattr(module, name)
    python = method.python_function
    if hasattr(getattr(type(module), name), "python_function"):  # else autograph would put its own in this one's place
        python = types.MethodType(getattr(type(module), name).python_function, module)
    plain = tf.autograph.experimental.do_not_convert(python)
    setattr(module, name, tf.function(plain, input_signature=method.input_signature))
    try:
        return getattr(module, name).get_concrete_function(*signature)
    except tf.errors.OperatorNotAllowedInGraphError:
        setattr(module, name, method)
        return method.get_concrete_function(*signature)
