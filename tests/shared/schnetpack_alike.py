"""Networks with the classes, attributes and tensors of schnetpack 2.1, and files as its trainer writes them.

The classes are called as schnetpack's for the moment of saving only, so that nothing could import them afterwards. They
compute what schnetpack computes, in few words and by means of their own.
"""

import itertools
import math

import torch
from torch import nn
from torch.nn import functional

from shared.checkpoint_foreign import library
from shared.checkpoint_samples import lightning, prefixed, torch_bytes


def shifted_softplus(x):
    return functional.softplus(x) - math.log(2.0)


class ShiftedSoftplus(nn.Module):
    def __init__(self, alpha, beta):
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.tensor([alpha])), nn.Parameter(torch.tensor([beta]))

    def forward(self, x):
        return self.alpha * (functional.softplus(self.beta * x) - math.log(2)) / self.beta


class Dense(nn.Linear):
    def __init__(self, n_in, n_out, activation=None, bias=True):
        super().__init__(n_in, n_out, bias)
        self.activation = nn.Identity() if activation is None else activation

    def forward(self, x):
        return self.activation(super().forward(x))


class GaussianRBF(nn.Module):
    def __init__(self, n_rbf, cutoff, trainable=False):
        super().__init__()
        self.n_rbf = n_rbf
        offsets = torch.linspace(0.3, cutoff, n_rbf)
        keep = self.register_parameter if trainable else self.register_buffer
        for name, value in (("widths", torch.full_like(offsets, 0.4)), ("offsets", offsets)):
            keep(name, nn.Parameter(value + 0.05 * torch.rand(n_rbf)) if trainable else value)

    def forward(self, d):
        return torch.exp(-0.5 / self.widths**2 * (d[:, None] - self.offsets) ** 2)


class GaussianRBFCentered(GaussianRBF):
    def __init__(self, n_rbf, cutoff):
        super().__init__(n_rbf, cutoff)
        self.widths, self.offsets = torch.linspace(1.0, cutoff, n_rbf), torch.zeros(n_rbf)


class BesselRBF(nn.Module):
    def __init__(self, n_rbf, cutoff):
        super().__init__()
        self.n_rbf = n_rbf
        self.register_buffer("freqs", torch.arange(1, n_rbf + 1) * math.pi / cutoff)

    def forward(self, d):
        return torch.sin(d[:, None] * self.freqs) / d[:, None]


class CosineCutoff(nn.Module):
    def __init__(self, cutoff):
        super().__init__()
        self.register_buffer("cutoff", torch.tensor([cutoff]))

    def forward(self, d):
        return 0.5 * (torch.cos(d * math.pi / self.cutoff) + 1.0) * (d < self.cutoff)


class MollifierCutoff(CosineCutoff):
    def __init__(self, cutoff):
        super().__init__(cutoff)
        self.register_buffer("eps", torch.tensor([1e-7]))

    def forward(self, d):
        inside = d + self.eps < self.cutoff
        return torch.exp(1.0 - 1.0 / (1.0 - (d * inside / self.cutoff) ** 2)) * inside


class SwitchFunction(nn.Module):
    def __init__(self, cutoff):
        super().__init__()
        self.register_buffer("switch_on", torch.tensor([cutoff - 2.0]))
        self.register_buffer("switch_off", torch.tensor([cutoff]))

    def forward(self, d):
        t = (d - self.switch_on) / (self.switch_off - self.switch_on)
        up, down = (torch.where(x > 0, torch.exp(-1 / torch.where(x > 0, x, 1.0)), 0.0) for x in (t, 1 - t))
        return torch.where(t <= 0, 1.0, torch.where(t >= 1, 0.0, down / (up + down)))


class NuclearEmbedding(nn.Module):
    def __init__(self, max_z, n_features):
        super().__init__()
        self.element_embedding = nn.Parameter(torch.randn(max_z, n_features))
        self.register_buffer("electron_config", torch.rand(max_z, 4))
        self.config_linear = nn.Linear(4, n_features, bias=False)

    def forward(self, z):
        return (self.element_embedding + self.config_linear(self.electron_config))[z]


class Elements(nn.Module):
    """What stands for classes of schnetpack that hold no part of the energy."""


class PaiNNInteraction(nn.Module):
    def __init__(self, n, activation):
        super().__init__()
        self.n_atom_basis = n
        self.interatomic_context_net = nn.Sequential(Dense(n, n, activation), Dense(n, 3 * n))


class PaiNNMixing(nn.Module):
    def __init__(self, n, activation, epsilon):
        super().__init__()
        self.n_atom_basis = n
        self.intraatomic_context_net = nn.Sequential(Dense(2 * n, n, activation), Dense(n, 3 * n))
        self.mu_channel_mix = Dense(n, 2 * n, bias=False)
        self.epsilon = epsilon


def replicate(make, count, shared):
    return nn.ModuleList([make()] * count if shared else [make() for _ in range(count)])


class PaiNN(nn.Module):
    def __init__(self, n, count, basis, cutoff, activation, embedding=None, shared=False, shared_filters=False):
        super().__init__()
        self.n_atom_basis, self.n_interactions = n, count
        self.cutoff_fn, self.radial_basis = cutoff, basis
        self.embedding = embedding or nn.Embedding(100, n)
        self.electronic_embeddings = nn.ModuleList()
        self.share_filters = shared_filters
        self.filter_net = Dense(basis.n_rbf, 3 * n * (1 if shared_filters else count))
        self.interactions = replicate(lambda: PaiNNInteraction(n, activation), count, shared)
        self.mixing = replicate(lambda: PaiNNMixing(n, activation, 3e-7), count, shared)

    def forward(self, z, vectors, center, neighbor):
        d = vectors.norm(dim=1)
        filters = self.filter_net(self.radial_basis(d)) * self.cutoff_fn(d)[:, None]
        filters = [filters] * self.n_interactions if self.share_filters else filters.chunk(self.n_interactions, 1)
        q, mu = self.embedding(z)[:, None], 0.0
        mu = torch.zeros(len(z), 3, self.n_atom_basis, dtype=vectors.dtype)
        for interaction, mixing, w in zip(self.interactions, self.mixing, filters, strict=True):
            message = w[:, None] * interaction.interatomic_context_net(q)[neighbor]
            dq, along, scaled = message.chunk(3, -1)
            q = q.index_add(0, center, dq)
            mu = mu.index_add(0, center, along * (vectors / d[:, None])[..., None] + scaled * mu[neighbor])
            left, right = mixing.mu_channel_mix(mu).chunk(2, -1)
            norm = torch.sqrt((left**2).sum(1, keepdim=True) + mixing.epsilon)
            dq, dmu, both = mixing.intraatomic_context_net(torch.cat([q, norm], -1)).chunk(3, -1)
            q, mu = q + dq + both * (left * right).sum(1, keepdim=True), mu + dmu * right
        return q[:, 0]


class SchNetInteraction(nn.Module):
    def __init__(self, n, n_rbf, n_filters, activation):
        super().__init__()
        self.in2f = Dense(n, n_filters, bias=False)
        self.f2out = nn.Sequential(Dense(n_filters, n, activation), Dense(n, n))
        self.filter_network = nn.Sequential(Dense(n_rbf, n_filters, activation), Dense(n_filters, n_filters))


class SchNet(nn.Module):
    def __init__(self, n, count, basis, cutoff, activation, embedding=None, shared=False, n_filters=5):
        super().__init__()
        self.n_atom_basis, self.n_filters = n, n_filters
        self.radial_basis, self.cutoff_fn = basis, cutoff
        self.embedding = embedding or nn.Embedding(100, n)
        self.electronic_embeddings = nn.ModuleList()
        self.interactions = replicate(lambda: SchNetInteraction(n, basis.n_rbf, n_filters, activation), count, shared)

    def forward(self, z, vectors, center, neighbor):
        d = vectors.norm(dim=1)
        x = self.embedding(z)
        for block in self.interactions:
            w = block.filter_network(self.radial_basis(d)) * self.cutoff_fn(d)[:, None]
            sums = torch.zeros(len(z), self.n_filters, dtype=x.dtype).index_add(0, center, w * block.in2f(x)[neighbor])
            x = x + block.f2out(sums)
        return x


class Atomwise(nn.Module):
    def __init__(self, widths, activation, output_key="energy", aggregation_mode="sum"):
        super().__init__()
        self.output_key, self.aggregation_mode, self.n_out = output_key, aggregation_mode, widths[-1]
        *inner, last = itertools.pairwise(widths)
        self.outnet = nn.Sequential(*(Dense(*pair, activation) for pair in inner), Dense(*last))

    def forward(self, features):
        return self.outnet(features).sum()


class Forces(nn.Module):
    def __init__(self, energy_key="energy"):
        super().__init__()
        self.energy_key, self.force_key, self.calc_forces = energy_key, "forces", True


class AddOffsets(nn.Module):
    def __init__(self, key="energy", mean=True, atomrefs=True, extensive=True):
        super().__init__()
        self._property, self.add_mean, self.add_atomrefs, self.is_extensive = key, mean, atomrefs, extensive
        self.register_buffer("atomref", torch.linspace(-9.0, 4.0, 100))
        self.register_buffer("mean", torch.tensor(-1.7, dtype=torch.float64))

    def forward(self, energy, z):
        return energy + self.add_mean * self.mean * len(z) + self.add_atomrefs * self.atomref[z].sum()


class ScaleProperty(nn.Module):
    def __init__(self, key="energy", scale=1.3):
        super().__init__()
        self.input_key = self.output_key = key
        self.register_buffer("scale", torch.tensor([scale]))

    def forward(self, energy, z):
        return energy * self.scale[0] if self.input_key != "forces" else energy


class NeuralNetworkPotential(nn.Module):
    def __init__(self, representation, output_modules, postprocessors=(), input_modules=None):
        super().__init__()
        self.input_dtype_str, self.do_postprocessing, self.spk_version = "float32", True, "2.1.1"
        self.postprocessors = nn.ModuleList([CastTo64(), *postprocessors])
        self.required_derivatives, self.model_outputs = ["_positions"], ["energy", "forces"]
        self.representation = representation
        self.input_modules = nn.ModuleList(input_modules or [PairwiseDistances()])
        self.output_modules = nn.ModuleList(output_modules)

    def forward(self, z, positions, center, neighbor):
        """The energy and, as its negative gradient, the forces."""
        positions = positions.detach().requires_grad_()
        features = self.representation(z, positions[neighbor] - positions[center], center, neighbor)
        [head] = [module for module in self.output_modules if isinstance(module, Atomwise)]
        energy = head(features)
        for step in self.postprocessors if self.do_postprocessing else ():
            if getattr(step, "_property", head.output_key) == head.output_key and not isinstance(step, CastTo64):
                energy = step(energy, z)
        return energy.detach(), -torch.autograd.grad(energy, positions)[0]


CastTo64, PairwiseDistances, ZBLRepulsionEnergy, SO3net = (
    type(name, (Elements,), {}) for name in ("CastTo64", "PairwiseDistances", "ZBLRepulsionEnergy", "SO3net")
)
PLACES = {
    "nn.activations": (shifted_softplus, ShiftedSoftplus),
    "nn.base": (Dense,),
    "nn.radial": (GaussianRBF, GaussianRBFCentered, BesselRBF),
    "nn.cutoff": (CosineCutoff, MollifierCutoff, SwitchFunction),
    "nn.embedding": (NuclearEmbedding,),
    "representation.painn": (PaiNN, PaiNNInteraction, PaiNNMixing),
    "representation.schnet": (SchNet, SchNetInteraction),
    "representation.so3net": (SO3net,),
    "atomistic.atomwise": (Atomwise,),
    "atomistic.response": (Forces,),
    "atomistic.distances": (PairwiseDistances,),
    "atomistic.nuclear_repulsion": (ZBLRepulsionEnergy,),
    "transform.casting": (CastTo64,),
    "transform.atomistic": (AddOffsets, ScaleProperty),
    "model.base": (NeuralNetworkPotential,),
}
NAMED = {
    f"schnetpack.{place}.{made.__name__}".replace(".", "__"): made
    for place, all_made in PLACES.items()
    for made in all_made
}


def model(kind=PaiNN, basis=GaussianRBF, cutoff=CosineCutoff, activation=None, head=(8, 4, 1), after=None, **options):
    """A network with random weights: 8 channels, 2 blocks, 6 functions, a cutoff of 4.5 angstrom."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        activation = activation or (functional.silu if kind is PaiNN else shifted_softplus)
        radial = basis(6, 4.5) if isinstance(basis, type) else basis()
        key = options.pop("key", "energy")
        outputs = [Atomwise(list(head), options.pop("head_activation", functional.silu), key), Forces(key)]
        made = NeuralNetworkPotential(
            kind(8, 2, radial, cutoff(4.5), activation, **options),
            outputs,
            [AddOffsets(key)] if after is None else after,
        )
        for parameter in made.parameters():
            if parameter.dim() == 1 and parameter.numel() > 1 and "GaussianRBF" not in type(radial).__name__:
                nn.init.normal_(parameter, std=0.1)
    return made


def whole(made):
    """What schnetpack's ModelCheckpoint writes: ``best_inference_model``."""
    with library(**NAMED):
        return torch_bytes(made)


def checkpoint(made, **more):
    """The Lightning file of its trainer, whose hyperparameters hold the model."""
    settings = {"model": made, "outputs": [], "optimizer_cls": torch.optim.AdamW, "optimizer_args": {"lr": 1e-3}}
    state = prefixed(made.state_dict(), "model.")
    with library(**NAMED):
        return torch_bytes(lightning(state, hyper_parameters=settings, hparams_name="kwargs", **more))


def tensors(made):
    """Its plain state dict."""
    return torch_bytes(made.state_dict())
