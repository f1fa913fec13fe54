import inspect

import tfod.compat  # noqa: F401 - a quiet TensorFlow, with Keras 2

import pytest
import tensorflow as tf

from tfod.model.tracing import build_plainly, trace_method_plainly, trace_plainly


def halve_if_even(number):
    if number % 2 == 0:  # on a tensor, for autograph
        number = number // 2
    return number


def test_what_needs_autograph_gets_it():
    function = trace_plainly(halve_if_even)
    assert [int(function(tf.constant(number))) for number in (4, 5)] == [2, 5]
    numbers = build_plainly(tf.data.Dataset.map, tf.data.Dataset.range(4), halve_if_even)
    assert list(numbers.as_numpy_iterator()) == [0, 1, 1, 3]


def test_what_does_not_need_it_is_left_as_it_is():
    seen = []

    def double(number):
        seen.append(inspect.stack()[0].filename)
        return 2 * number

    assert int(trace_plainly(double)(tf.constant(4))) == 8
    assert list(build_plainly(tf.data.Dataset.range(2).map, double).as_numpy_iterator()) == [0, 2]
    assert set(seen) == {__file__}  # autograph's would be a file of its own


def test_updates_of_a_trace_that_failed_never_run():
    count = tf.Variable(0)

    def step(number):
        count.assign_add(1)
        return halve_if_even(number)

    function = trace_plainly(step)
    function(tf.constant(4))
    function(tf.constant(5))
    assert int(count) == 2


def test_an_error_of_the_function_itself_is_raised():
    def fail(number):
        raise tf.errors.OperatorNotAllowedInGraphError("always")

    function = trace_plainly(fail)
    for _ in range(2):
        with pytest.raises(TypeError, match="always"):
            function(tf.constant(1))


@pytest.mark.parametrize("needs_autograph", [False, True])
def test_method_of_a_module_is_replaced_by_what_was_traced(needs_autograph):
    class Halver(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.int32)])
        def __call__(self, number):
            return halve_if_even(number) if needs_autograph else number // 2

    module = Halver()
    function = trace_method_plainly(module, "__call__")
    assert int(function(tf.constant(8))) == int(module.__call__(tf.constant(8))) == 4
    assert module.__call__.input_signature == (tf.TensorSpec([], tf.int32),)
