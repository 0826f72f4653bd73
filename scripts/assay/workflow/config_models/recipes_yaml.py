"""The sections of ``config/recipes.yaml``: how the shipped dataset and students are made again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from assay.workflow.config_models.types import (
    CUTOFF_RANGE_A,
    Clip,
    Count,
    Counts,
    Decay,
    FilePath,
    Integers,
    Numbers,
    Portion,
    PositiveInteger,
    PositiveNumber,
    PositivePortion,
    Range,
    Rate,
    Section,
    Seed,
    may_be_absent,
)


class Collect(Section):
    """What decides which molecules are collected."""

    max_atoms: PositiveInteger
    max_atoms_recombined: PositiveInteger
    n_recombined: Count


class HeldOut(Section):
    """How many molecules are held out, by where they come from."""

    listed: Count
    recombined: Count


class Split(Section):
    """How molecules are split."""

    max_atoms: PositiveInteger
    n_validation: HeldOut = Field(description="molecules held out")
    n_unseen: HeldOut = Field(description="molecules held out")
    n_larger: list[
        Annotated[list[Count], Field(min_length=3, max_length=3, description="fewest atoms, most atoms, how many")]
    ]
    max_similarity: PositiveNumber


class Recombined(Section):
    """Recombined molecules that are added to training."""

    n_recombined: Count
    max_atoms_recombined: PositiveInteger
    seed: int


class Bridged(Section):
    """Molecules with new bonds across those of others."""

    count: Count
    max_atoms: PositiveInteger
    max_heavy: PositiveInteger
    bonds: Counts
    changed: Portion
    seed: int


class Altered(Section):
    """Molecules with changed elements."""

    count: Count
    max_atoms: PositiveInteger
    max_heavy: PositiveInteger
    changes: Counts
    seed: int


class Molecules(Section):
    """What decides which molecules the dataset has."""

    seed: int
    collect: Collect
    split: Split
    train_recombined: Recombined
    train_bridged: Bridged
    train_caged: Bridged
    train_small_cages: Bridged
    train_altered: Altered


class TrainAndValidation(Section):
    """Numbers for the training data and for the validation data."""

    train: Count
    validation: Count


class Contacts(Section):
    """Dimers that are nearer than in any liquid."""

    count: Count
    distances_A: Range
    per_shard: PositiveInteger


class Droplets(Section):
    """Droplets over the density of a liquid."""

    count: PositiveInteger
    n_molecules: PositiveInteger
    n_atoms: Range
    over_liquid: Range


class Diamonds(Section):
    """Pieces of diamond under pressure."""

    count: PositiveInteger
    radii_A: Range
    scales: Range


class Clusters(Section):
    """Clusters of random elements."""

    count: PositiveInteger
    n_atoms: Range
    spacings_A: Range


class Dense(Section):
    """Matter unlike molecules."""

    shards: Count
    droplets: Droplets
    diamonds: Diamonds
    clusters: Clusters


class Scans(Section):
    """Bonds turned to random angles."""

    max_atoms: PositiveInteger
    per_bond: PositiveInteger
    molecules_per_shard: PositiveInteger


class Facing(Section):
    """Pairs of molecules whose facing atoms are near."""

    count: Count
    distances_A: Range
    per_shard: PositiveInteger
    max_force_eV_per_A: PositiveNumber


class ClosePairs(Section):
    """Pairs of elements that are nearer than the common limit of forces allows."""

    elements: Integers
    n_distances: PositiveInteger
    distances_A: Range
    copies: PositiveInteger
    max_force_eV_per_A: PositiveNumber


class GeometryKinds(Section):
    """Shares of the kinds of classical geometries; an absent kind has none."""

    thermal: float = may_be_absent(ge=0)
    relaxed: float = may_be_absent(ge=0)
    stretched: float = may_be_absent(ge=0)
    twisted: float = may_be_absent(ge=0)


class Tautomers(Section):
    """Other tautomers of molecules of training."""

    count: Count
    n_atoms: Counts
    per_molecule: PositiveInteger
    geometries: PositiveInteger
    kinds: GeometryKinds = Field(description="shares of the kinds of geometry")
    temperatures_K: Range
    molecules_per_shard: PositiveInteger


class StudentDynamics(Section):
    """Frames of dynamics with the forces of a student."""

    checkpoint: FilePath
    shards: Count
    molecules_per_shard: PositiveInteger
    turned: Portion
    frames: PositiveInteger
    temperatures_K: Range
    thermalization_fs: PositiveNumber
    interval_fs: PositiveNumber
    time_step_fs: PositiveNumber


class Classical(Section):
    """Geometries that a classical force field makes."""

    per_molecule: PositiveInteger
    kinds: GeometryKinds = Field(description="shares of the kinds of geometry")
    temperatures_K: Range
    dimer_max_atoms: PositiveInteger
    dimer_distances_A: Range
    pair_distances: PositiveInteger
    molecules_per_shard: PositiveInteger


class DynamicsMolecules(Section):
    """How many molecules of each part the teacher moves."""

    train: PositiveInteger
    validation: PositiveInteger
    seen_molecules: PositiveInteger
    unseen_molecules: PositiveInteger
    larger_molecules: PositiveInteger
    new_molecules: PositiveInteger


class Trajectories(Section):
    """Dynamics with the forces of the teacher."""

    temperatures_K: Numbers
    frames: PositiveInteger
    thermalization_fs: PositiveNumber
    interval_fs: PositiveNumber
    time_step_fs: PositiveNumber
    molecules_per_shard: PositiveInteger


class Labels(Section):
    """What decides which geometries the teacher labels."""

    max_force_eV_per_A: PositiveNumber
    max_partly_filled: PositiveNumber
    rounds: PositiveInteger
    recombined_shards: Count
    dimers: TrainAndValidation
    contacts: Contacts
    dense: Dense
    scans: Scans
    facing: Facing
    facing_apart: Facing
    close_pairs: ClosePairs
    tautomers: Tautomers
    larger_tautomers: Tautomers
    student_md: StudentDynamics
    student_md_again_shards: Count
    better_student_md: StudentDynamics
    classical: Classical
    dynamics_molecules: DynamicsMolecules
    dynamics: Trajectories
    larger_dynamics: Trajectories
    odd_dynamics: Trajectories


class Crystals(Section):
    """The structures of the shipped periodic dataset."""

    per_crystal: PositiveInteger
    seed: Seed


class DatasetRecipe(Section):
    """How the shipped datasets are made again."""

    molecules: Molecules
    labels: Labels
    crystals: Crystals
    max_shipped_bytes: PositiveInteger


class Shares(Section):
    """The share of each kind of structure that an epoch has; an absent kind is there whole."""

    thermal: PositivePortion = may_be_absent()
    relaxed: PositivePortion = may_be_absent()
    stretched: PositivePortion = may_be_absent()
    twisted: PositivePortion = may_be_absent()
    scan: PositivePortion = may_be_absent()
    student_md: PositivePortion = may_be_absent()
    dimer: PositivePortion = may_be_absent()
    facing: PositivePortion = may_be_absent()
    droplet: PositivePortion = may_be_absent()
    diamond: PositivePortion = may_be_absent()
    cluster: PositivePortion = may_be_absent()
    pair: PositivePortion = may_be_absent()
    dynamics: PositivePortion = may_be_absent()


class Round(Section):
    """One round of a training."""

    steps: PositiveInteger
    atoms_per_step: PositiveInteger = may_be_absent()
    peak: PositiveNumber = may_be_absent()
    shares: Shares = may_be_absent(description="shares by kind of structure")
    energy_weight: PositiveNumber = may_be_absent()


class Loss(Section):
    """The loss of a training."""

    force_delta_eV_per_A: PositiveNumber
    energy_delta_eV_per_atom: PositiveNumber
    energy_weight: PositiveNumber


class Recipe(Section):
    """How students are trained: what all share, or what one has of its own."""

    rounds: list[Round] = may_be_absent(min_length=1, description="what each round does")
    matrix_lr: PositiveNumber = may_be_absent()
    other_lr: PositiveNumber = may_be_absent()
    warmup: PositiveInteger = may_be_absent()
    cooldown: float = may_be_absent(gt=0, le=1, description="a fraction of a round")
    weight_decay: Rate = may_be_absent()
    clip: Clip = may_be_absent()
    ema_decay: Decay = may_be_absent()
    seed: Seed = may_be_absent()
    optimizer: Literal["muon", "adamw"] = may_be_absent(description="what trains the matrices")
    loss: Loss = may_be_absent()
    validate_every: PositiveInteger = may_be_absent()
    validation_structures: PositiveInteger = may_be_absent()


class Hyperparameters(Section):
    """Arguments of the network of a student; those that are absent follow from its size, or are the network's own."""

    hidden: int = may_be_absent(ge=4, le=4096, description="the number of channels")
    n_blocks: int = may_be_absent(ge=1, le=64, description="the number of blocks")
    n_rbf: int = may_be_absent(ge=1, le=4096, description="the number of radial basis functions")
    max_z: int = may_be_absent(ge=1, le=118, description="the largest atomic number")
    cutoff_A: float = may_be_absent(
        ge=CUTOFF_RANGE_A[0], le=CUTOFF_RANGE_A[1], description="the cutoff radius in angstrom"
    )
    radial_basis: Literal["bessel", "gaussian"] = may_be_absent()
    envelope: Literal["polynomial", "cosine"] = may_be_absent()
    filter_bias: bool = may_be_absent(description="whether filters have a bias")
    activation: Literal["silu", "softplus", "gelu"] = may_be_absent()
    head: list[PositiveInteger] = may_be_absent(description="widths of the hidden layers of the atomic energy")
    epsilon: float = may_be_absent(gt=0, le=1, description="a small number under the square root of each norm")
    repulsion: bool = may_be_absent(description="whether nuclei repel each other inside covalent contact")
    floor: bool = may_be_absent(description="whether the radial basis sees floored distances")
    from_contact: bool = may_be_absent(description="whether it sees how far a pair is from contact")
    pair_elements: list[PositiveInteger] = may_be_absent(
        description="rising atomic numbers of the elements whose pairs have an energy by themselves, too"
    )
    rank: int = may_be_absent(ge=1, le=2, description="1 for vectors, 2 for tensors besides")


class Student(Section):
    """A student to train."""

    architecture: Literal["painn"] = Field(description="a network that Assay trains")
    hyperparameters: Hyperparameters = Field(description="arguments of the network")
    recipe: Recipe = Field(description="how students are trained")


class Distill(Section):
    """How the shipped students are trained again."""

    threads: PositiveInteger
    processes: PositiveInteger
    recipe: Recipe = Field(description="how students are trained")
    students: dict[str, Annotated[Student, Field(description="a student to train")]] = Field(min_length=1)
