"""The compiled engine: the network lowered to C++ for CPUs, the compiler that builds it, and its Python interface.

Only what is computed by compiled code enters here; docs/engine.md has its mathematics.
"""
