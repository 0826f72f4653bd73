"""What is measured in half an hour on a bare machine with a GPU: parity, speed, physics, training, and a profile.

Only parts of ``scripts/gpu_hour.py`` enter here. They need torch, Triton, ASE and vesin, and no Snakemake.
"""
