"""Evaluates the newest checkpoint of a model folder with upstream's own loop, and prints its metrics as JSON.

python tests/helpers/upstream_evaluation.py models/my_model
"""

import json
import sys
import tempfile

import tfod.compat  # noqa: F401 - corrects object_detection at import

from object_detection import model_lib_v2

model_dir = sys.argv[1]
evaluate, results = model_lib_v2.eager_eval_loop, []


def remember(*arguments, **settings):
    results.append(evaluate(*arguments, **settings))
    return results[-1]


# upstream's eval_continuously returns nothing, so its loop's result is caught on the way
model_lib_v2.eager_eval_loop = remember
with tempfile.TemporaryDirectory() as summaries:
    model_lib_v2.eval_continuously(
        pipeline_config_path=f"{model_dir}/pipeline.config",
        model_dir=summaries,
        checkpoint_dir=model_dir,
        wait_interval=1,
        timeout=10,
    )
print(json.dumps({name: float(value) for name, value in results[0].items()}))
