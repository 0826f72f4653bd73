"""OpenMM moves atoms by a force in C++, or by the same in Python."""
