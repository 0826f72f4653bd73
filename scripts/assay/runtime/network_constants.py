"""The constants of the network and the layout of ``model.assay``, for the network, the engine and the kernels alike."""

HALF_ROOT = 0.5 * 3.0**0.5
# Distances over the sum of both covalent radii: below the first the result is constant, beyond the second it is d.
FLAT_BELOW, UNCHANGED_BEYOND = 0.55, 0.85
FIRST_CENTER_A = -0.7  # of Gaussians of distances from contact, which the floor keeps above -0.3 times contact
COULOMB_EV_A = 14.3996454784  # e^2 / (4 pi epsilon_0)
BOHR_A = 0.529177210903
# The universal screening function phi(x) = sum_k c_k exp(-b_k x), x = d / a, a = 0.8854 bohr / (Z_i^0.23 + Z_j^0.23).
COEFFICIENTS = (0.1818, 0.5099, 0.2802, 0.02817)
EXPONENTS = (3.2, 0.9423, 0.4028, 0.2016)
SCREENING_BOHR, CHARGE_POWER = 0.8854, 0.23

# The number of filters of an edge, each of which makes one kind of message, and of gates of the update, by rank.
N_FILTERS = {1: 3, 2: 5}
N_GATES = {1: 3, 2: 7}
MAX_HEAD = 8  # hidden layers of the head
INTEGERS = ("rank", "hidden", "n_blocks", "n_rbf", "max_z", "filter_bias", "gaussian", "envelope", "activation",
            "head_activation", "repulsion", "floor", "from_contact", "n_pair_elements", "parameter_bits",
            "n_head")  # fmt: skip
REALS = ("cutoff", "envelope_begin", "envelope_end", "epsilon", "energy_scale")
ENVELOPES = ("polynomial", "cosine", "mollifier", "switch")
ACTIVATIONS = ("silu", "softplus", "shifted_softplus")
SOFTPLUS_IS_LINEAR_FROM = 20.0  # the threshold of torch.nn.functional.softplus

VERSION = 2
MAGIC = b"ASSAYMDL"
PARTS = ("metadata", "settings", "elements", "radial", "parameters")


def n_element_pairs(count: int) -> int:
    """The number of pairs of ``count`` elements, those of equal ones included."""
    return count * (count + 1) // 2


def pair_rows(count: int) -> list[list[int]]:
    """The rows of coefficients, by the places of both elements among ``count`` with pair energies.

    The place ``count`` stands for all other elements, whose row is the one behind the last.
    """
    rows = [[n_element_pairs(max(a, b)) + min(a, b) for b in range(count)] for a in range(count)]
    none = n_element_pairs(count)
    return [*([*row, none] for row in rows), [none] * (count + 1)]
