"""The files that are refused as checkpoints, by name: the rows of docs/checkpoints/refused.md.

`REFUSED` maps a name to a function that makes the bytes of such a file, and to a pattern of the sentence that says no.
"""

import io
import os
import re
import zipfile

import onnx
import torch

from shared import checkpoint_samples as samples
from shared.checkpoint_samples import legacy_bytes, moved, prefixed, safetensors_bytes, student, torch_bytes

SEED = student("seed-painn").state_dict()
PAINN = student("painn").state_dict()


def _changed(name, change):
    state = dict(SEED)
    return torch_bytes(state | {name: change(state[name])})


def _zip(records, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _records(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _torchscript():
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), stream)
    return stream.getvalue()


def _onnx():
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [value],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    return onnx.helper.make_model(graph, producer_name="pytorch").SerializeToString()


def _without(*names):
    return torch_bytes({name: tensor for name, tensor in SEED.items() if name not in names})


def _quantized():
    return torch.ao.quantization.quantize_dynamic(student("painn"), {torch.nn.Linear}, dtype=torch.qint8)


def _overlapping():
    """Two records that claim the same bytes of the file."""
    content = bytearray(_zip({"a/data.pkl": b"." * 10, "a/data/0": b"x" * 10_000}))
    end = content.rfind(b"PK\x01\x02")
    content[end + 42 : end + 46] = bytes(4)
    return bytes(content)


WEIGHT = "interactions.0.update.update_mlp.0.weight"
REFUSED = {
    "empty": (lambda: b"", "is empty"),
    "truncated": (lambda: torch_bytes(SEED)[:-2000], "is damaged"),
    "truncated_legacy": (lambda: legacy_bytes(SEED)[:-200], "is damaged"),
    "truncated_safetensors": (lambda: safetensors_bytes(SEED)[:-200], "is damaged"),
    "extended_legacy": (lambda: legacy_bytes(SEED) + b"0", "left over"),
    "text": (lambda: b"hello, world\n" * 9, "is no checkpoint"),
    "gzip": (lambda: b"\x1f\x8b" + bytes(99), "unpack it first"),
    "git_lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "web_page": (lambda: b"<!DOCTYPE html><html>", "web page"),
    "onnx": (_onnx, "ONNX"),
    "torchscript": (_torchscript, "TorchScript"),
    "numpy_archive": (lambda: _zip({"a.npy": b"\x93NUMPY"}), "not a checkpoint"),
    "code": (lambda: torch_bytes({"model": samples.Runs(os.system, "touch hacked")}), "holds no weights"),
    "code_legacy": (lambda: legacy_bytes({"model": samples.Runs(os.system, "touch hacked")}), "holds no weights"),
    "code_eval": (lambda: torch_bytes(samples.Runs(eval, "1")), "holds a builtins.eval"),
    "code_bare_pickle": (lambda: samples.pickle_bytes(samples.Runs(os.system, "touch hacked"), 4), "posix.system"),
    "code_protocol_0": (lambda: samples.pickle_bytes(samples.Runs(os.system, "touch hacked"), 0), "posix.system"),
    "code_protocol_4": (
        lambda: torch_bytes({"x": samples.Runs(os.system, "touch hacked")}, pickle_protocol=4),
        "holds no weights",
    ),
    "whole_module": (lambda: torch_bytes(torch.nn.Sequential(torch.nn.Linear(2, 2))), "holds 'training', '0.weight'"),
    "compressed_records": (lambda: _zip(_records(torch_bytes(SEED)), zipfile.ZIP_DEFLATED), "compressed records"),
    "zip_bomb": (lambda: _zip({"a/data.pkl": bytes(10**7)}, zipfile.ZIP_DEFLATED), "compressed records"),
    "overlapping_records": (_overlapping, "is damaged|more bytes than"),
    "expanded_embedding": (
        lambda: torch_bytes({**SEED, "embedding.weight": torch.zeros(1, 1).expand(100_000, 25_000)}),
        "share their place",
    ),
    "storage_beyond_its_record": (
        lambda: _zip(_records(torch_bytes({"x": torch.ones(16)})) | {"archive/data/0": b"x"}),
        "is damaged",
    ),
    "list": (lambda: torch_bytes([torch.ones(2)]), "holds a list or tuple and"),
    "tuple": (lambda: torch_bytes((SEED, {})), "holds a list or tuple and"),
    "tensor": (lambda: torch_bytes(torch.ones(2)), "holds a Tensor"),
    "nothing": (lambda: torch_bytes({}), "holds nothing by name"),
    "other_model": (lambda: torch_bytes(torch.nn.Linear(2, 2).state_dict()), "holds 'weight', 'bias'"),
    "nan": (lambda: _changed(WEIGHT, lambda t: t * float("nan")), f"NaN or infinite values in {WEIGHT}"),
    "infinity": (lambda: _changed(WEIGHT, lambda t: t / 0), "NaN or infinite"),
    "overflow": (lambda: _changed(WEIGHT, lambda t: t.double() * 1e300), "not finite"),
    "complex": (lambda: _changed(WEIGHT, lambda t: t.to(torch.complex64)), "as complex64"),
    "integers": (lambda: _changed(WEIGHT, lambda t: t.to(torch.int8)), "as int8: .* before it was quantized"),
    "quantized_layers": (lambda: torch_bytes(_quantized()), "holds a quantized network .it names torch.*Linear"),
    "sharded": (
        lambda: torch_bytes({"module": {name: torch.empty(0) for name in PAINN}}), "without its numbers.*zero_to_fp32"
    ),
    "float8": (lambda: _changed(WEIGHT, lambda t: t.to(torch.float8_e4m3fn)), "as float8_e4m3fn"),
    "quantized": (lambda: _changed(WEIGHT, lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8)), "quantized"),
    "sparse": (lambda: _changed(WEIGHT, lambda t: t.to_sparse()), "sparse"),
    "nested": (lambda: _changed(WEIGHT, lambda t: torch.nested.as_nested_tensor([t])), "special tensor"),
    "meta": (lambda: _changed(WEIGHT, lambda t: t.to("meta")), "special tensor"),
    "missing_keys": (lambda: _without(WEIGHT, "energy_head.0.bias"), f"lacks {WEIGHT}, energy_head.0.bias"),
    "missing_first_keys": (lambda: _without("embedding.weight"), "lacks 'embedding.weight'"),
    "missing_block": (
        lambda: torch_bytes({name.replace("interactions.1", "interactions.2"): t for name, t in SEED.items()}),
        "has unknown interactions.2",
    ),
    "unexpected_key": (lambda: torch_bytes({**SEED, "charges.weight": torch.ones(2)}), "has unknown charges.weight"),
    "unprintable_key": (
        lambda: torch_bytes({**SEED, "a\n\x1b[2J\udc80": torch.ones(2)}),
        re.escape("has unknown a??[2J?;"),
    ),
    "unexpected_buffer": (lambda: torch_bytes({**SEED, "rbf.extra": torch.ones(2)}), "has unknown rbf.extra"),
    "wrong_shape": (lambda: _changed(WEIGHT, lambda t: t[:, :-1]), re.escape(f"{WEIGHT} [8, 15] instead of [8, 16]")),
    "same_key_twice": (
        lambda: torch_bytes({**prefixed(SEED, "model."), "module.rbf.centers": SEED["rbf.centers"]}),
        "'rbf.centers' twice",
    ),
    "two_models": (lambda: torch_bytes({"generator": SEED, "critic": moved(SEED)}), "two different models"),
    "best_and_last": (
        lambda: torch_bytes({"model_state_dict": SEED, "best_model_state_dict": moved(SEED)}),
        "two different models, under 'model_state_dict' and 'best_model_state_dict': name one of them",
    ),
    "partial_average": (
        lambda: torch_bytes({"model": SEED, "ema": {k: v for k, v in SEED.items() if k != WEIGHT}}),
        f"lacks {WEIGHT}",
    ),
    "average_not_begun": (
        lambda: torch_bytes({"n_averaged": torch.tensor(0)} | prefixed(SEED, "module.")),
        r"has not begun \(n_averaged is 0\) .* save the trained weights, or set .* to 'the top'",
    ),
    "misfit_average": (
        lambda: torch_bytes({"model": SEED, "ema": {"shadow_params": [torch.ones(2)]}}),
        "does not match",
    ),
    "config_contradicts_shapes": (
        lambda: torch_bytes({"model": SEED, "config": {"hidden_dim": 128}}),
        "says config.hidden_dim = 128, but its tensors have hidden = 8",
    ),
    "config_contradicts_architecture": (
        lambda: torch_bytes({"model": SEED, "config": {"architecture": "painn"}}),
        "config.architecture = painn",
    ),
    "config_contradicts_itself": (
        lambda: torch_bytes({"model": SEED, "config": {"num_rbf": 4}, "hparams": {"n_rbf": 5}}),
        "n_rbf = 4 .* and 5",
    ),
    "cutoff_in_another_unit": (
        lambda: torch_bytes(student("painn", cutoff_A=0.45).state_dict()),
        "cutoff 0.45 angstrom by its buffer radial.frequencies: a student's is between 0.5 and 20",
    ),
    "cutoff_beyond_all": (
        lambda: torch_bytes(student("painn", cutoff_A=25.0).state_dict()),
        "cutoff 25 angstrom by its buffer radial.frequencies: a student's is between 0.5 and 20",
    ),
    "config_of_nonsense": (lambda: torch_bytes({"model": SEED, "config": {"cutoff": -1.0}}), "which cannot be"),
    "normalizer_beside_the_weights": (
        lambda: torch_bytes({
            "model": SEED, "normalizers": {"energy": {"mean": torch.tensor(-76.5), "std": torch.tensor([3.0])}}
        }),
        r"keeps normalizers\.energy\.mean = -76\.5 beside its weights",
    ),
    "mean_and_deviation_beside_the_weights": (
        lambda: torch_bytes({"model": SEED, "hyper_parameters": {"energy_mean": 0.0, "energy_std": 3.1}}),
        r"keeps hyper_parameters\.energy_std = 3\.1 beside its weights",
    ),
    "mean_at_the_top": (
        lambda: torch_bytes({"model": SEED, "mean": -400.0, "std": 27.2}), r"keeps mean = -400\.0 beside its weights"
    ),
    "scale_and_shift_in_the_config": (
        lambda: torch_bytes({"model": SEED, "config": {"num_rbf": 4, "scale": 27.2, "shift": 0.0}}),
        r"keeps config\.scale = 27\.2 beside its weights",
    ),
    "scale_factor_of_energies": (
        lambda: torch_bytes({"model": SEED, "energy_shift": 0.0, "energy_scale_factor": 27.2}),
        r"keeps energy_scale_factor = 27\.2 beside its weights",
    ),
    "scaler_of_targets": (
        lambda: torch_bytes({"model": SEED, "target_scaler": {"mean_": [-400.0], "scale_": [27.2]}}),
        "keeps target_scaler = several numbers beside its weights",
    ),
    "energies_of_atoms": (
        lambda: torch_bytes({"model": SEED, "atom_refs": {"H": -13.6, "O": -2040.0}}),
        "keeps atom_refs = several numbers beside its weights",
    ),
    "energies_of_atoms_by_atomic_number": (
        lambda: torch_bytes({"model": SEED, "hparams": {"E0s": torch.arange(9.0)}}),
        r"keeps hparams\.E0s = several numbers beside its weights",
    ),
    "elements_beyond_the_embedding": (
        lambda: torch_bytes({"model": SEED, "config": {"elements": ["H", "C", "Ne"]}}),
        "lists the element Ne, but its embedding has rows for the atomic numbers up to 9 only",
    ),
    "parametrized": (
        lambda: torch_bytes({"model": PAINN | {"head.0.parametrizations.weight.original0": PAINN["head.0.weight"]}}),
        r"holds 'head\.0\.parametrizations\.weight\.original0', a part of .*remove_parametrizations",
    ),
    "pruned": (
        lambda: torch_bytes({"model": {name.replace("0.weight", "0.weight_orig"): it for name, it in PAINN.items()}}),
        r"holds .*weight_orig., a part of .* prune\.remove",
    ),
    "unknown_activation": (
        lambda: torch_bytes({"model": PAINN, "config": {"activation": "relu"}}),
        "cannot be built",
    ),
}  # fmt: skip
