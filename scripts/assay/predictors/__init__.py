"""One interface to a model in every form: a checkpoint in PyTorch or in the engine, ONNX, TorchScript, AOTInductor.

Only what turns structures into energies and forces enters here; what is made of them is judged further up.
"""
