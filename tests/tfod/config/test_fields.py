import pytest

from tfod.config import pipeline
from tfod.config.pipeline import list_changes, set_fields
from tfod.utils.console import InputError

RATE = "train_config.optimizer.momentum_optimizer.learning_rate.constant_learning_rate.learning_rate"


@pytest.fixture
def config():
    return pipeline.text_format.Parse(
        """
        model { ssd { num_classes: 3 image_resizer { fixed_shape_resizer { width: 320 height: 320 } } } }
        train_config { batch_size: 4 data_augmentation_options { random_horizontal_flip {} } }
        eval_config { metrics_set: "coco_detection_metrics" }
        """,
        pipeline.pipeline_pb2.TrainEvalPipelineConfig(),
    )


@pytest.mark.parametrize(
    ("assignment", "read", "value"),
    [
        ("train_config.batch_size=16", lambda c: c.train_config.batch_size, 16),
        ("train_config.gradient_clipping_by_norm = 10", lambda c: c.train_config.gradient_clipping_by_norm, 10.0),
        ("model.ssd.freeze_batchnorm=True", lambda c: c.model.ssd.freeze_batchnorm, True),
        ("model.ssd.freeze_batchnorm=0", lambda c: c.model.ssd.freeze_batchnorm, False),
        ("train_input_reader.label_map_path='a=b.pbtxt'", lambda c: c.train_input_reader.label_map_path, "a=b.pbtxt"),
        ("model.ssd.post_processing.score_converter=sigmoid", lambda c: c.model.ssd.post_processing.score_converter, 1),
        ("eval_config.metrics_set[0]=x", lambda c: list(c.eval_config.metrics_set), ["x"]),
        ("eval_config.metrics_set[1]=x", lambda c: list(c.eval_config.metrics_set), ["coco_detection_metrics", "x"]),
        ("eval_config.metrics_set=a, b", lambda c: list(c.eval_config.metrics_set), ["a", "b"]),
        ("eval_config.metrics_set=", lambda c: list(c.eval_config.metrics_set), []),
        (
            "train_config.data_augmentation_options[0].random_horizontal_flip.probability=0.25",
            lambda c: c.train_config.data_augmentation_options[0].random_horizontal_flip.probability,
            0.25,
        ),
        (
            "train_config.data_augmentation_options[1]={random_rotation90 { probability: 1 }}",
            lambda c: [o.WhichOneof("preprocessing_step") for o in c.train_config.data_augmentation_options],
            ["random_horizontal_flip", "random_rotation90"],
        ),
        ("model.ssd.matcher.bipartite_matcher={}", lambda c: c.model.ssd.matcher.HasField("bipartite_matcher"), True),
    ],
)
def test_values_are_typed_by_the_proto(config, assignment, read, value):
    set_fields(config, [assignment])
    assert read(config) == value


def test_a_member_of_a_oneof_takes_the_place_of_the_former(config):
    set_fields(config, ["model.ssd.image_resizer.keep_aspect_ratio_resizer.max_dimension=640", f"{RATE}=0.5"])
    assert config.model.ssd.image_resizer.WhichOneof("image_resizer_oneof") == "keep_aspect_ratio_resizer"
    assert config.train_config.optimizer.WhichOneof("optimizer") == "momentum_optimizer"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train_config.btch_size=3", "train_config has no field btch_size; did you mean train_config.batch_size?"),
        ("trainconfig.batch_size=3", "a pipeline.config has no field trainconfig; did you mean train_config?"),
        ("model.ssd.zzz=3", "model.ssd has no field zzz; it has add_background_class,"),
        ("train_config.batch_size", "has no =; give it as path.to.field=value"),
        ("train_config.batch_size=many", "'many' is not a whole number"),
        ("train_config.batch_size=1.5", "'1.5' is not a whole number"),
        ("train_config.batch_size=-1", "-1 does not fit"),
        ("train_config.gradient_clipping_by_norm=x", "'x' is not a number"),
        ("model.ssd.freeze_batchnorm=maybe", "'maybe' is neither true nor false"),
        ("model.ssd.post_processing.score_converter=sigmoit", "did you mean SIGMOID"),
        ("train_config.batch_size.more=1", "train_config.batch_size is a plain value and has no fields of its own"),
        ("train_config[0].batch_size=1", "train_config is not a list; leave out [0]"),
        ("eval_config.metrics_set[3]=x", "the list has 1 entries, and the next is [1]"),
        ("train_config.data_augmentation_options[9].random_rotation90={}", "the list has 1 entries"),
        ("train_config.data_augmentation_options={}", "is a list; give the place of one entry"),
        ("train_config.data_augmentation_options.random_rotation90={}", "is a list; give the place of one entry"),
        ("train_config.optimizer=adam", "Optimizer is a message; set a field of it, or give it as {field: value}"),
        ("train_config.optimizer={nonsense: 1}", 'has no field named "nonsense"'),
        ("eval_config.super_categories[0]=a", "eval_config.super_categories is a map, which --set can't set"),
        ("train_config.bat ch=1", "'bat ch' is not the name of a field"),
    ],
)
def test_what_cannot_be_set_is_named(config, assignment, message):
    with pytest.raises(InputError) as error:
        set_fields(config, [assignment])
    assert f"--set {assignment}: " in str(error.value)
    assert message in str(error.value)


def test_all_faults_come_at_once(config):
    with pytest.raises(InputError) as error:
        set_fields(config, ["a=1", "train_config.batch_size=8", "b=2"])
    assert len(error.value.faults) == 2


def test_changes_are_dotted_paths_in_the_order_of_the_file(config):
    before = type(config).FromString(config.SerializeToString())
    before.eval_config.super_categories["pet"] = "cat,dog"
    set_fields(
        config,
        [
            "eval_config.metrics_set[1]=x",
            "train_config.batch_size=8",
            "train_config.sync_replicas=false",  # its default, which changes nothing
            "train_config.data_augmentation_options[0]={random_rgb_to_gray {}}",
            "model.ssd.image_resizer.identity_resizer={}",
        ],
    )
    assert list_changes(before, config) == [
        "model.ssd.image_resizer.fixed_shape_resizer.height: 320 -> none",
        "model.ssd.image_resizer.fixed_shape_resizer.width: 320 -> none",
        "model.ssd.image_resizer.identity_resizer: none -> {}",
        "train_config.batch_size: 4 -> 8",
        "train_config.data_augmentation_options[0]: random_horizontal_flip { } -> random_rgb_to_gray { }",
        "eval_config.metrics_set[1]: none -> x",
        "eval_config.super_categories[pet]: cat,dog -> none",
    ]
    assert list_changes(config, config) == []
