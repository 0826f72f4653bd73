"""The constants of the network and the layout of ``model.assay``, as the wheel of a student carries them.

They are those of the project's rooms ``models`` and ``engine``, which no wheel has; a test compares each of them.
"""

HALF_ROOT = 0.5 * 3.0**0.5
FLAT_BELOW, UNCHANGED_BEYOND = 0.55, 0.85
COULOMB_EV_A = 14.3996454784
BOHR_A = 0.529177210903
COEFFICIENTS = (0.1818, 0.5099, 0.2802, 0.02817)
EXPONENTS = (3.2, 0.9423, 0.4028, 0.2016)
SCREENING_BOHR = 0.8854

N_FILTERS = {1: 3, 2: 5}
N_GATES = {1: 3, 2: 7}
MAX_HEAD = 8
INTEGERS = ("rank", "hidden", "n_blocks", "n_rbf", "max_z", "filter_bias", "gaussian", "envelope", "activation",
            "head_activation", "repulsion", "floor", "parameter_bits", "n_head")  # fmt: skip
REALS = ("cutoff", "envelope_begin", "envelope_end", "epsilon", "energy_scale")
ENVELOPES = ("polynomial", "cosine", "mollifier", "switch")
ACTIVATIONS = ("silu", "softplus", "shifted_softplus")
SOFTPLUS_IS_LINEAR_FROM = 20.0

VERSION = 1
MAGIC = b"ASSAYMDL"
PARTS = ("metadata", "settings", "elements", "radial", "parameters")
