"""One network as files that run without this project: ONNX, TorchScript and AOTInductor.

Only what writes such a file enters here; proving it right belongs to verification, running it to predictors.
"""
