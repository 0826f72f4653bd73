"""Checks of the inputs of compiled code, which else reads memory as it was compiled to and asks for no types.

AOTInductor writes checks too, but they run only where a variable of the environment says so, and pass over most strides
and all indices. An index out of range then ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch._inductor.codegen.cpp_wrapper_cpu import CppWrapperCpu
from torch._inductor.virtualized import V

from assay.export.forms import SPATIAL, SlotInputs

CHECKS = """
static bool _check_aoti_runtime_check_inputs_env() { return false; }

[[noreturn]] static void refuse(const std::string& sentence) { throw std::runtime_error(sentence); }

AOTI_NOINLINE static void __check_inputs_outputs(AtenTensorHandle* input_handles, AtenTensorHandle*) {
    struct Expected { const char* name; int32_t dtype; const char* meaning; size_t n_axes; bool is_spatial; };
    static const Expected expected[] = { EXPECTED };
    enum { NUMBERS, POSITIONS, NEIGHBOR, SHIFT, OUTGOING, MEMBERS };
    int64_t n_atoms = 0, n_slots = 0;
    for (int k = 0; k <= MEMBERS; ++k) {
        const Expected& want = expected[k];
        const std::string name = want.name;
        ConstantHandle tensor(input_handles[k]);
        int32_t dtype, device;
        int64_t n_axes, step = 1;
        AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(tensor, &dtype));
        AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(tensor, &device));
        AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dim(tensor, &n_axes));
        bool is_right = dtype == want.dtype && device == 0 && size_t(n_axes) == want.n_axes;
        for (int64_t axis = n_axes - 1; is_right && axis >= 0; --axis) {
            const int64_t size = tensor.sizes()[axis];
            is_right = (size <= 1 || tensor.strides()[axis] == step) &&
                       (!want.is_spatial || axis != n_axes - 1 || size == 3);
            step *= size;
        }
        if (!is_right)
            refuse(name + " must be a contiguous tensor of " + want.meaning + " on the CPU with " +
                   std::to_string(want.n_axes) + " axes" + (want.is_spatial ? ", the last of length 3" : "") +
                   ": convert it");
        if (k == NUMBERS) n_atoms = tensor.sizes()[0];
        if (k == NEIGHBOR) n_slots = tensor.sizes()[1];
        if (n_atoms == 0) refuse("there must be atoms");
        if (k != MEMBERS && tensor.sizes()[0] != n_atoms)
            refuse(name + " must have a row for each of " + std::to_string(n_atoms) + " atoms");
        if (k == SHIFT && tensor.sizes()[1] != n_slots) refuse("shift must have a row for each slot of neighbor");
        const int64_t limits[] = { MAX_Z + 1, 0, n_atoms, 0, n_atoms * n_slots + 1, n_atoms + 1 };
        if (limits[k] == 0) continue;
        void* data;
        AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(tensor, &data));
        for (int64_t i = 0; i < step; ++i) {
            const int64_t value = static_cast<const int64_t*>(data)[i];
            if (value < 0 || value >= limits[k])
                refuse(name + " holds " + std::to_string(value) + ", which is not from 0 to " +
                       std::to_string(limits[k] - 1));
        }
    }
}
"""


@contextmanager
def checking_inputs(max_z: int) -> Iterator[None]:
    """Let code that is compiled meanwhile refuse wrong ``SlotInputs``.

    These are other dtypes, ranks, strides or devices than it reads, sizes that do not fit together, and indices out of
    range.

    Args:
        max_z: the largest atomic number of the network.
    """

    def write_checks(wrapper: Any) -> None:
        rows = []
        for name, tensor in zip(SlotInputs._fields, V.graph.graph_inputs.values(), strict=True):
            dtype = str(tensor.get_dtype()).removeprefix("torch.")
            n_axes, is_spatial = len(tensor.get_size()), str(name in SPATIAL).lower()
            rows.append(f'{{"{name}", aoti_torch_dtype_{dtype}(), "{dtype}", {n_axes}, {is_spatial}}}')
        wrapper.prefix.splice_aot(CHECKS.replace("EXPECTED", ", ".join(rows)).replace("MAX_Z", str(max_z)))

    with patch.object(CppWrapperCpu, "generate_input_output_runtime_checks", write_checks):
        yield
