import numpy as np

from tfod.export.tflite import quantize

PIXELS = np.array([-1.0, -0.5, 0.0, 0.51, 1.0, 9.0], np.float32)


def test_floats_are_taken_as_they_are():
    assert quantize(PIXELS, {"dtype": np.float32}) is PIXELS


def test_whole_numbers_are_rounded_by_scale_and_zero_point_and_cut_off_at_their_limits():
    found = quantize(PIXELS, {"dtype": np.uint8, "quantization": (1 / 127, 128)})
    assert (found.dtype, found.tolist()) == (np.uint8, [1, 65, 128, 193, 255, 255])
    found = quantize(PIXELS, {"dtype": np.int8, "quantization": (0.5, -1)})
    assert (found.dtype, found.tolist()) == (np.int8, [-3, -2, -1, 0, 1, 17])


def test_a_model_without_a_scale_takes_the_pixels():
    assert quantize(PIXELS, {"dtype": np.uint8, "quantization": (0.0, 0)}).tolist() == [0, 0, 0, 1, 1, 9]
