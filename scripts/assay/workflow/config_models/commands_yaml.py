"""The sections of ``config/commands.yaml``: what commands beside ``all`` measure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from assay.workflow.config_models.physics_yaml import Motion
from assay.workflow.config_models.recipes_yaml import Hyperparameters
from assay.workflow.config_models.students_yaml import TrainingLoss
from assay.workflow.config_models.types import (
    BathTemperature,
    Decay,
    FilePath,
    FirstTemperature,
    FrameInterval,
    Friction,
    Integers,
    MoleculeCount,
    Name,
    Numbers,
    PositiveInteger,
    PositiveNumber,
    PositivePortion,
    Range,
    Section,
    Seed,
    SeedOfMotion,
    SplitOfMolecules,
    TimeStep,
    may_be_absent,
)


class Endurance(Section):
    """Long dynamics of unseen molecules."""

    split: SplitOfMolecules
    molecules: MoleculeCount
    temperature_K: BathTemperature
    step_fs: TimeStep
    duration_ps: PositiveNumber = Field(description="the length of each trajectory")
    friction_per_fs: Friction = Field(description="the coupling to the bath (Langevin, BAOAB); 0 is constant energy")
    frame_every_fs: PositiveNumber = Field(
        description="the time between looks at the bonds, of which there is one at the end of each picosecond too"
    )
    seed: SeedOfMotion


Peer = Literal["schnetpack", "mace"]


class PeerSettings(Section):
    """What differs from ``benchmark`` when peers are timed."""

    system_sizes: Integers
    single_sizes: list[PositiveInteger]
    batch_sizes: Integers
    seconds: PositiveNumber
    min_rounds: PositiveInteger


class Peers(Section):
    """Networks of other packages that are timed beside the students."""

    packages: list[Annotated[Peer, Field(description="a package with a peer")]]
    settings: PeerSettings
    targets: dict[Literal[Peer, "schnetpack in the engine"], PositiveNumber] = Field(description="targets by package")


class EngineTask(Section):
    """What programs of molecular dynamics are asked."""

    sizes: Integers = Field(description="numbers of atoms that are timed")
    size_s: PositiveNumber = Field(
        description="the time that each size is timed for, if three time steps do not take longer"
    )
    longest_s: PositiveNumber = Field(
        description="the time that these few time steps may take, beyond which a size is left out"
    )
    drift_ps: PositiveNumber = Field(description="how long the open molecule and the periodic box move")
    drift_s: PositiveNumber = Field(
        description="the time that each of the two may take, beyond which it moves for less long"
    )
    step_fs: TimeStep
    temperature_K: FirstTemperature
    max_drift_meV_per_atom_per_ps: PositiveNumber = Field(
        description="the largest drift of the total energy that passes"
    )
    strain_relative: PositiveNumber = Field(
        description="how far the slope of the energy along a strain may be from the virial, as a fraction of its "
        "largest element"
    )


class Engines(EngineTask):
    """Which programs of molecular dynamics run the students, and what they are asked."""

    programs: list[
        Annotated[
            Literal[
                "ase",
                "metatomic",
                "lammps",
                "lammps_2_ranks",
                "lammps_external",
                "openmm",
                "openmm_python",
                "openmmml",
                "ipi",
                "ipi_8_beads",
                "torchsim",
            ],
            Field(description="a program"),
        ]
    ] = Field(min_length=1)


class Regress(Section):
    """When a student counts as slower than before."""

    baseline: FilePath
    tolerance: float = Field(ge=0, lt=1, description="a fraction")


class TeachersShare(Section):
    """What the teacher does for comparison, at the first size and temperature."""

    equilibration_ps: PositiveNumber
    duration_ps: PositiveNumber


class MaterialDynamics(Section):
    """The dynamics of a material, and what is measured in them."""

    structure: FilePath | None = Field(
        description="a path of the periodic structure at which dynamics begin, or null for no properties"
    )
    repeats: Annotated[
        list[Annotated[list[PositiveInteger], Field(min_length=3, max_length=3, description="three numbers")]],
        Field(min_length=1, description="how often the cell is repeated along each lattice vector, for each size"),
    ]
    temperatures_K: Numbers = Field(description="the temperatures")
    step_fs: TimeStep
    friction_per_fs: Friction = Field(
        description="the coupling to the heat bath while properties are measured; 0 is constant energy"
    )
    equilibration_ps: PositiveNumber = Field(
        description="the length of the dynamics before anything is measured, with a friction that heats"
    )
    duration_ps: PositiveNumber = Field(description="the length of the dynamics in which properties are measured")
    frame_every_fs: FrameInterval
    radial_to_A: PositiveNumber = Field(description="the largest distance of radial distribution functions")
    radial_bins: PositiveInteger = Field(description="the number of shells of equal thickness up to there")
    lags_ps: Range = Field(
        description="the times [least, most] between which the mean squared displacement is fitted by a line"
    )
    seed: SeedOfMotion


class Properties(MaterialDynamics):
    """Properties of a material by dynamics of each variant."""

    teacher: TeachersShare | None = Field(description="lengths of the teacher's dynamics, or null to leave it out")


class MultistepDynamics(Section):
    """The dynamics in which a teacher corrects a student every few steps."""

    split: SplitOfMolecules
    molecules: MoleculeCount
    max_atoms: PositiveInteger = Field(
        description="the largest number of atoms in a molecule; larger ones are left out"
    )
    corrected_every: Integers = Field(description="the numbers of short steps between two corrections by the teacher")
    step_fs: PositiveNumber = Field(description="the short step")
    temperature_K: BathTemperature
    constant_energy_ps: PositiveNumber = Field(
        description="the length of a run at constant energy, which tells the drift"
    )
    bath_ps: PositiveNumber = Field(description="the length of a run in a heat bath, which tells distributions")
    friction_per_fs: PositiveNumber = Field(description="the coupling to the bath")
    sample_every_fs: PositiveNumber = Field(description="the least time between two samples of a distribution")
    seed: SeedOfMotion


class Multistep(MultistepDynamics):
    """A student as the inner force of its teacher's dynamics."""

    drift_limit: PositiveNumber = Field(description="the largest drift that counts as stable, meV/atom/ps")
    seconds: PositiveNumber = Field(description="the time for which steps of each student are timed")


class Budget(Section):
    """What each training of an ablation may take: a number of steps, or of atoms in all steps together."""

    steps: PositiveInteger = may_be_absent()
    atoms: PositiveInteger = may_be_absent(description="atoms in all steps together")

    @model_validator(mode="after")
    def _one_of_two(self) -> Budget:
        if (self.steps is None) == (self.atoms is None):
            raise ValueError("a number of `steps` or of `atoms`, one of the two")
        return self


class AblationRecipe(Section):
    """How each student of an ablation is trained."""

    atoms_per_step: PositiveInteger
    optimizer: Literal["muon", "adamw"] = Field(description="what trains the matrices")
    matrix_lr: PositiveNumber
    other_lr: PositiveNumber
    warmup: PositiveInteger
    ema_decay: Decay
    validate_every: PositiveInteger
    loss: TrainingLoss


class AblationBase(Section):
    """The student that settings of an ablation differ from."""

    architecture: Literal["painn"] = Field(description="a network with all of the hyperparameters that are varied")
    hyperparameters: Hyperparameters = Field(description="arguments of the network")
    recipe: AblationRecipe = Field(description="how each student is trained")


class Vary(Section):
    """The values that are tried besides those of the base; an empty list tries none."""

    rank: list[Annotated[int, Field(ge=1, le=2, description="a rank")]] = may_be_absent(description="ranks of features")
    n_blocks: list[PositiveInteger] = may_be_absent(description="numbers of blocks")
    hidden: list[PositiveInteger] = may_be_absent(description="numbers of channels")
    n_rbf: list[PositiveInteger] = may_be_absent(description="numbers of radial functions")
    radial_basis: list[Literal["gaussian", "bessel"]] = may_be_absent(description="radial bases")
    from_contact: list[bool] = may_be_absent(description="whether the radial basis sees how far from contact a pair is")
    cutoff_A: list[PositiveNumber] = may_be_absent(description="cutoffs in angstrom")
    force_delta_eV_per_A: list[PositiveNumber] = may_be_absent(description="bends of the force's loss")
    energy_delta_eV_per_atom: list[PositiveNumber] = may_be_absent(description="bends of the energy's loss")
    energy_weight: list[PositiveNumber] = may_be_absent(description="weights of energies against forces")
    optimizer: list[Literal["muon", "adamw"]] = may_be_absent(description="what trains the matrices")
    matrix_lr: list[PositiveNumber] = may_be_absent(description="peak learning rates of the matrices")
    other_lr: list[PositiveNumber] = may_be_absent(description="peak learning rates of all else")
    atoms_per_step: list[PositiveInteger] = may_be_absent(description="numbers of atoms in a step")
    data_share: list[PositivePortion] = may_be_absent(description="shares of the training data")


class Ablate(Section):
    """What each choice is worth at one budget."""

    train: FilePath
    validation: FilePath
    train_structures: PositiveInteger | None = Field(description="structures trained on")
    validation_structures: PositiveInteger | None = Field(description="structures validated on")
    budget: Budget
    base: AblationBase = Field(description="the student that others differ from")
    vary: Vary = Field(description="values by what they belong to")
    grid: Literal["one_at_a_time", "all_together"] = Field(description="how values are combined")
    seeds: Annotated[list[Seed], Field(min_length=2, description="two seeds or more")]
    confidence: float = Field(gt=0, lt=1, description="mass of the intervals")
    seconds: PositiveNumber


class Tuning(AblationRecipe):
    """How pruned and smaller students are trained further."""

    optimizer: Literal["muon", "adamw"] = may_be_absent(description="what trains the matrices")
    steps: PositiveInteger
    seed: Seed


class Hessian(Section):
    """Hessian-vector products in the loss."""

    hessian_weight: PositiveNumber
    hessian_delta_eV_per_A2: PositiveNumber
    step_A: PositiveNumber


class CompressLimits(Section):
    """What a form must hold to be recommended."""

    size_ratio: PositiveNumber
    time_ratio: PositiveNumber
    slowest: PositiveNumber
    force_mae_ratio: PositiveNumber
    energy_mae_ratio: PositiveNumber
    stress_mae_ratio: PositiveNumber
    energy_force_consistency: PositiveNumber
    drift_ratio: PositiveNumber


class Compress(Section):
    """Smaller and faster forms of one student."""

    variant: Name
    train: FilePath
    validation: FilePath
    test: FilePath
    train_structures: PositiveInteger | None = Field(description="structures trained on")
    validation_structures: PositiveInteger | None = Field(description="structures validated on")
    test_structures: int = Field(ge=32, description="structures that errors are judged on")
    channels: list[PositiveInteger] = Field(description="numbers of channels")
    rank_shares: list[PositivePortion] = Field(description="shares of the full rank")
    table_points: list[Annotated[int, Field(ge=8)]] = Field(description="numbers of points")
    smaller: FilePath | None = Field(description="a checkpoint, or null")
    tuning: Tuning = Field(description="how pruned and smaller students are trained")
    hessian: Hessian
    without_checks: list[str] = Field(description="names of physics checks")
    molecules: PositiveInteger
    motion: Motion = Field(description="dynamics at constant energy")
    seconds: PositiveNumber
    limits: CompressLimits
