"""One network as files that run without this project: ONNX, TorchScript and AOTInductor."""
