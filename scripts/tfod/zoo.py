"""Middle module: the models of the TF2 Detection Zoo, trained on COCO 2017. Facts only."""

# name: the day of its release, which is a part of its address
MODELS = {
    "centernet_hg104_512x512_coco17_tpu-8": "20200713",
    "centernet_hg104_512x512_kpts_coco17_tpu-32": "20200711",
    "centernet_hg104_1024x1024_coco17_tpu-32": "20200713",
    "centernet_hg104_1024x1024_kpts_coco17_tpu-32": "20200711",
    "centernet_resnet50_v1_fpn_512x512_coco17_tpu-8": "20200711",
    "centernet_resnet50_v1_fpn_512x512_kpts_coco17_tpu-8": "20200711",
    "centernet_resnet101_v1_fpn_512x512_coco17_tpu-8": "20200711",
    "centernet_resnet50_v2_512x512_coco17_tpu-8": "20200711",
    "centernet_resnet50_v2_512x512_kpts_coco17_tpu-8": "20200711",
    "centernet_mobilenetv2fpn_512x512_coco17_od": "20210210",
    "centernet_mobilenetv2fpn_512x512_coco17_kpts": "20210210",
    "efficientdet_d0_coco17_tpu-32": "20200711",
    "efficientdet_d1_coco17_tpu-32": "20200711",
    "efficientdet_d2_coco17_tpu-32": "20200711",
    "efficientdet_d3_coco17_tpu-32": "20200711",
    "efficientdet_d4_coco17_tpu-32": "20200711",
    "efficientdet_d5_coco17_tpu-32": "20200711",
    "efficientdet_d6_coco17_tpu-32": "20200711",
    "efficientdet_d7_coco17_tpu-32": "20200711",
    "ssd_mobilenet_v2_320x320_coco17_tpu-8": "20200711",
    "ssd_mobilenet_v1_fpn_640x640_coco17_tpu-8": "20200711",
    "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8": "20200711",
    "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8": "20200711",
    "ssd_resnet50_v1_fpn_640x640_coco17_tpu-8": "20200711",
    "ssd_resnet50_v1_fpn_1024x1024_coco17_tpu-8": "20200711",
    "ssd_resnet101_v1_fpn_640x640_coco17_tpu-8": "20200711",
    "ssd_resnet101_v1_fpn_1024x1024_coco17_tpu-8": "20200711",
    "ssd_resnet152_v1_fpn_640x640_coco17_tpu-8": "20200711",
    "ssd_resnet152_v1_fpn_1024x1024_coco17_tpu-8": "20200711",
    "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8": "20200711",
    "faster_rcnn_resnet50_v1_1024x1024_coco17_tpu-8": "20200711",
    "faster_rcnn_resnet50_v1_800x1333_coco17_gpu-8": "20200711",
    "faster_rcnn_resnet101_v1_640x640_coco17_tpu-8": "20200711",
    "faster_rcnn_resnet101_v1_1024x1024_coco17_tpu-8": "20200711",
    "faster_rcnn_resnet101_v1_800x1333_coco17_gpu-8": "20200711",
    "faster_rcnn_resnet152_v1_640x640_coco17_tpu-8": "20200711",
    "faster_rcnn_resnet152_v1_1024x1024_coco17_tpu-8": "20200711",
    "faster_rcnn_resnet152_v1_800x1333_coco17_gpu-8": "20200711",
    "faster_rcnn_inception_resnet_v2_640x640_coco17_tpu-8": "20200711",
    "faster_rcnn_inception_resnet_v2_1024x1024_coco17_tpu-8": "20200711",
    "mask_rcnn_inception_resnet_v2_1024x1024_coco17_gpu-8": "20200711",
    "extremenet": "20210507",
}


def get_address(name):
    """The https address of a model's .tar.gz. Raises KeyError if the zoo has no such model."""
    return f"https://download.tensorflow.org/models/object_detection/tf2/{MODELS[name]}/{name}.tar.gz"
