"""A function that makes schnetpack's ASE calculator, which takes objects that a config cannot hold."""

import os


def make(path, cutoff_A):
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # schnetpack stores whole modules
    from torch.utils.data import dataloader

    # schnetpack 2.1.1 imports this type variable by the name that it had before it became private to torch.
    dataloader.T_co = dataloader._T_co
    import schnetpack.transform
    from schnetpack.interfaces import SpkCalculator

    return SpkCalculator(
        model_file=path,
        neighbor_list=schnetpack.transform.MatScipyNeighborList(cutoff=cutoff_A),
        energy_unit="eV",
        position_unit="Ang",
    )
