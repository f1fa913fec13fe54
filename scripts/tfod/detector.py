"""The public face of this package, for other programs.

from tfod.detector import Detector

detector = Detector("exported_models/my_model")
for boxes, classes, scores in detector.detect([image]):  # uint8 arrays [height, width, 3], RGB
    print([detector.names[number] for number in classes])
"""

from tfod.inference.detector import Detector

__all__ = ["Detector"]
