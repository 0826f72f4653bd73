"""ASE moves atoms by the calculator of the package."""
