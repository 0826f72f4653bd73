"""TorchSim moves the atoms of many systems by one call of the engine."""
