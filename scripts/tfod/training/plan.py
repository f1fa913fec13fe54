"""How a training is to go, and how it ended."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass
class Plan:
    """How a training is to go: what the flags of model_main_tf2.py say, under their names."""

    config_path: str
    model_dir: Path

    seed: int = 42
    checkpoint_every_n: int = 1000  # steps
    checkpoint_every_minutes: float = 10
    eval_every_n: int = 0  # steps; 0: never
    best_metric: str = "DetectionBoxes_Precision/mAP"
    patience: int = 0  # evaluations without a new best; 0: no end
    nan_retries: int = 0
    record_summaries: bool = True

    deterministic: bool = False
    mixed_precision: bool = False
    jit_compile: bool = False
    require_gpu: bool = False
    num_workers: int = 1
    use_tpu: bool = False
    tpu_name: str | None = None


@dataclasses.dataclass
class Outcome:
    """How a training ended.

    checkpoint: the prefix of its last checkpoint
    step:       its last step
    ended_by:   "" for its last step, "patience", or the number of a signal
    """

    checkpoint: str
    step: int
    ended_by: str | int = ""
