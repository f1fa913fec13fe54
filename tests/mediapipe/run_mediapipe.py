"""Prints, as a line of JSON for each photo, what MediaPipe's ObjectDetector finds: [name, score, left, top, width,
height] each, in whole pixels.

    python tests/mediapipe/run_mediapipe.py MODEL.tflite PHOTO...
"""

import json
import sys

import mediapipe
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ObjectDetector, ObjectDetectorOptions

model, *photos = sys.argv[1:]
options = ObjectDetectorOptions(BaseOptions(model_asset_path=model), score_threshold=0.0, max_results=100)
with ObjectDetector.create_from_options(options) as detector:
    for photo in photos:
        found = []
        for one in detector.detect(mediapipe.Image.create_from_file(photo)).detections:
            box = one.bounding_box
            place = [box.origin_x, box.origin_y, box.width, box.height]
            # detections in one place are one, with several names
            found += [[category.category_name, category.score, *place] for category in one.categories]
        print(json.dumps(found))
