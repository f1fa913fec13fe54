"""SavedModel, TFLite and ONNX files, each compared with the checkpoint."""
