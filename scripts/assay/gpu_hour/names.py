"""The names of what is measured on a GPU, which the report reads too: nothing is imported here."""

KERNELS = "triton"
KEPT = "triton, pairs kept"  # as between two searches of dynamics, which come every few dozen steps
EAGER = "eager"
PEAK = "matrix peak"
