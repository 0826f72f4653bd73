"""The formulas of docs/engine.md, evaluated in numpy, give what the engine computes, forward and backward."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.data import covalent_radii

from assay.engine import library
from assay.engine.painn import Engine
from assay.models import build_model
from assay.neighbors.lists import build_graph

pytestmark = pytest.mark.skipif(library.library() is None, reason="no C++ compiler on this machine")

SMALL = {"hidden": 6, "n_blocks": 3, "n_rbf": 5, "max_z": 8, "cutoff_A": 3.0, "head": (4, 3), "epsilon": 1e-4}
PAINN = {
    "vectors": SMALL | {"repulsion": True, "floor": True},
    "tensors": SMALL | {"repulsion": True, "floor": True, "rank": 2},
    "from contact": SMALL | {"radial_basis": "gaussian", "floor": True, "from_contact": True, "pair_elements": [1, 8]},
    "gaussian": SMALL | {"rank": 2, "radial_basis": "gaussian", "envelope": "cosine", "filter_bias": False, "head": ()},
}
SOFT = {"activation": "shifted_softplus", "head_activation": "softplus"}
SCHNETPACK = {
    "schnetpack": SMALL,
    "mollifier": SMALL | SOFT | {"cutoff_function": "mollifier", "cutoff_arguments": (0.1,), "radial_basis": "bessel"},
    "switch": SMALL | SOFT | {"cutoff_function": "switch", "cutoff_arguments": (0.9, 2.8)},
}
ROOT = np.sqrt(3.0) / 2.0


def logistic(x):
    return 1.0 / (1.0 + np.exp(-x))


def softplus(x):
    return np.log(1.0 + np.exp(x))


# a(x) and a'(x).
ACTIVATIONS = {
    "silu": (lambda x: x * logistic(x), lambda x: logistic(x) * (1.0 + x * (1.0 - logistic(x)))),
    "softplus": (softplus, logistic),
    "shifted_softplus": (lambda x: softplus(x) - np.log(2.0), logistic),
}


def outer(a, b):
    """a ⊗ b: the traceless symmetric product of vectors (n, 3, H), to (n, 5, H)."""
    (x, y, z), (p, q, r) = np.moveaxis(a, 1, 0), np.moveaxis(b, 1, 0)
    return np.stack(
        [
            ROOT * (x * q + y * p),
            ROOT * (y * r + z * q),
            z * r - 0.5 * (x * p + y * q),
            ROOT * (x * r + z * p),
            ROOT * (x * p - y * q),
        ],
        1,
    )


def times(t, a):
    """t · a: the vector with (t · a) · b = t · (a ⊗ b) for every vector b, found from that property."""
    units = [np.zeros_like(a) for _ in range(3)]
    for k, unit in enumerate(units):
        unit[:, k] = 1.0
    return np.stack([(t * outer(a, unit)).sum(1) for unit in units], 1)


def envelope(d, h):
    """f and f' for distances d (E,)."""
    cutoff = h["cutoff_A"]
    tau, kind = d / cutoff, h.get("cutoff_function", h.get("envelope"))
    if kind == "cosine":
        return (np.cos(np.pi * tau) + 1) / 2, -np.pi / (2 * cutoff) * np.sin(np.pi * tau)
    if kind == "mollifier":
        f = np.where(d < cutoff - h["cutoff_arguments"][0], np.exp(1 - 1 / (1 - tau**2)), 0.0)
        return f, -2 * tau * f / (1 - tau**2) ** 2 / cutoff
    if kind == "switch":
        begin, end = h["cutoff_arguments"]
        sigma = np.clip((d - begin) / (end - begin), 1e-3, 1 - 1e-3)  # exp(-1 / sigma) is zero beyond
        up, down = np.exp(-1 / sigma), np.exp(-1 / (1 - sigma))
        slope = -up * down * (1 / sigma**2 + 1 / (1 - sigma) ** 2) / (up + down) ** 2 / (end - begin)
        return down / (up + down), slope
    return 1 - tau**6 * (28 - 48 * tau + 21 * tau**2), -168 / cutoff * tau**5 * (1 - tau) ** 2


def radial(d, rho, h, constants):
    """(ψ f, its derivative, f, its derivative) for distances d (E,) and contacts rho (E,)."""
    a, b = 0.55 * rho, 0.85 * rho
    tau = np.clip((d - a) / (b - a), 0.0, 1.0)
    g = (a + b) / 2 + (b - a) * tau**4 * (5 / 2 - 3 * tau + tau**2) + np.maximum(d - b, 0.0)
    dg = tau**3 * (10 - 15 * tau + 6 * tau**2)
    if not h.get("floor"):
        g, dg = d, np.ones_like(d)
    if h.get("from_contact"):
        g = g - rho
    f, df = envelope(d, h)
    if h["radial_basis"] == "gaussian":
        width = constants["widths"]
        tau = (g[:, None] - constants["centers"]) / width
        psi = np.exp(-(tau**2) / 2)
        dpsi = -tau / width * psi
    else:
        k = constants["frequencies"]
        psi = np.sin(k * g[:, None]) / g[:, None]
        dpsi = (k * np.cos(k * g[:, None]) - psi) / g[:, None]
    return psi * f[:, None], psi * df[:, None] + dpsi * dg[:, None] * f[:, None], f, df


def repulsion(zi, zj, powers, d, rho):
    """Half of the repulsion of the two atoms of each edge, and its derivative; ``powers`` are the Z^0.23 in float32."""
    np.testing.assert_allclose(powers, np.arange(len(powers)) ** 0.23, rtol=1e-6)
    alpha = 0.8854 * 0.529177210903 / (powers[zi] + powers[zj])
    c, b = np.array([0.1818, 0.5099, 0.2802, 0.02817]), np.array([3.2, 0.9423, 0.4028, 0.2016])
    terms = c * np.exp(-b * (d / alpha)[:, None])
    phi, dphi = terms.sum(1), -(terms * b).sum(1) / alpha
    tau = np.minimum(d / rho, 1.0)
    chi, dchi = 1 - tau**3 * (10 - 15 * tau + 6 * tau**2), -30 * tau**2 * (1 - tau) ** 2 / rho
    q = 14.3996454784 * zi * zj / 2
    return q * phi * chi / d, q * (dphi * chi / d + phi * dchi / d - phi * chi / d**2)


class Page:
    """The formulas of docs/engine.md in their order, by their symbols; a name that ends in _ is a cotangent."""

    def __init__(self, model, numbers, positions, edge_index):
        self.h, self.z = model.hyperparameters, numbers
        self.rank = self.h.get("rank", 1)
        self.a, self.da = ACTIVATIONS[self.h["activation"]]
        self.a_head, self.da_head = ACTIVATIONS[self.h.get("head_activation", "silu")]
        self.P = {name: p.detach().numpy() for name, p in model.named_parameters()}
        self.G = {name: np.zeros_like(p) for name, p in self.P.items()}
        self.scale, self.N = float(model.energy_scale), len(numbers)
        self.j, self.i = edge_index
        r = positions[self.j] - positions[self.i]
        self.d = np.linalg.norm(r, axis=1)
        self.r, self.u = r, r / self.d[:, None]
        self.q = outer(self.u[:, :, None], self.u[:, :, None])[:, :, 0]
        radius = np.float32(covalent_radii[numbers]).clip(max=self.h["cutoff_A"] / 2).astype(float)
        self.rho = radius[self.i] + radius[self.j]
        self.powers = model.repulsion.screening.numpy() if self.h.get("repulsion") else None
        constants = {name: values.numpy() for name, values in model.radial.named_buffers()}
        self.psi, self.dpsi, self.f, self.df = radial(self.d, self.rho, self.h, constants)

    def over_neighbors(self, edges):
        total = np.zeros((self.N, *edges.shape[1:]))
        np.add.at(total, self.i, edges)
        return total

    def linear(self, name, x):
        return x @ self.P[f"{name}.weight"].T + self.P.get(f"{name}.bias", 0.0)

    def linear_(self, name, x, y_):
        """x_ of a linear layer; adds to the gradients of its weight and bias."""
        axes = list(range(x.ndim - 1))
        self.G[f"{name}.weight"] += np.tensordot(y_, x, (axes, axes))
        if f"{name}.bias" in self.G:
            self.G[f"{name}.bias"] += y_.sum(tuple(axes))
        return y_ @ self.P[f"{name}.weight"]

    def pair_rows(self):
        """The row of the table that each edge reads, (E,), and whether it has one."""
        places = {z: place for place, z in enumerate(self.h["pair_elements"])}
        pairs = zip(self.z[self.i], self.z[self.j], strict=True)
        both = [sorted((places.get(x, -1), places.get(y, -1))) for x, y in pairs]
        return np.array([a * (a + 1) // 2 + b for b, a in both]), np.array([b >= 0 for b, _ in both])

    def C(self):
        """The coefficients of the energies of pairs, (E, R)."""
        rows, known = self.pair_rows()
        return self.P["pair_energies.table"][rows * known] * known[:, None]

    def filters(self, b):
        """w and their derivatives, (K, E, H) each."""
        weight, bias = self.P[f"blocks.{b}.filter.weight"], self.P.get(f"blocks.{b}.filter.bias")
        bias = np.zeros(len(weight)) if bias is None else bias
        w = self.psi @ weight.T + np.multiply.outer(self.f, bias)
        dw = self.dpsi @ weight.T + np.multiply.outer(self.df, bias)
        K = 2 * self.rank + 1
        return np.stack(np.split(w, K, 1)), np.stack(np.split(dw, K, 1))

    def forward(self):
        self.steps = []
        H, K, G = self.h["hidden"], 2 * self.rank + 1, {1: 3, 2: 7}[self.rank]
        s, v, t = self.P["embedding.weight"][self.z], np.zeros((self.N, 3, H)), np.zeros((self.N, 5, H))
        for b in range(self.h["n_blocks"]):
            w, _ = self.filters(b)
            c = self.linear(f"blocks.{b}.context.0", s)
            x = np.split(self.linear(f"blocks.{b}.context.2", self.a(c)), K, 1)
            at_j = [values[self.j] for values in x]
            S = s + self.over_neighbors(w[0] * at_j[0])
            new = self.u[:, :, None] * (w[1] * at_j[1])[:, None]
            V = v + self.over_neighbors(new + (w[2] * at_j[2])[:, None] * v[self.j])
            A, B = np.split(self.linear(f"blocks.{b}.mix", V), 2, -1)
            n = [np.sqrt((A**2).sum(1) + self.h["epsilon"])]
            T = A2 = B2 = None
            if self.rank == 2:
                new = self.q[:, :, None] * (w[3] * at_j[3])[:, None]
                T = t + self.over_neighbors(new + (w[4] * at_j[4])[:, None] * t[self.j])
                A2, B2 = np.split(self.linear(f"blocks.{b}.mix_tensors", T), 2, -1)
                n.append(np.sqrt((A2**2).sum(1) + self.h["epsilon"]))
            inv = np.concatenate([S, *n], 1)
            h = self.linear(f"blocks.{b}.update.0", inv)
            y = np.split(self.linear(f"blocks.{b}.update.2", self.a(h)), G, 1)
            self.steps.append((s, v, t, c, x, S, V, T, A, B, A2, B2, n, inv, h, y))
            s, v = S + y[0] + y[2] * (A * B).sum(1), V + y[1][:, None] * B
            if self.rank == 2:
                s, v = s + y[3] * (A2 * B2).sum(1), v + y[4][:, None] * times(B2, B)
                t = T + y[5][:, None] * B2 + y[6][:, None] * outer(A, B)
        self.head_in = [s]
        for k in range(len(self.h["head"])):
            self.head_in += [self.linear(f"head.{2 * k}", self.a_head(self.head_in[-1]) if k else s)]
        last = self.a_head(self.head_in[-1]) if self.h["head"] else s
        energy = self.scale * self.linear(f"head.{2 * len(self.h['head'])}", last)[:, 0]
        if self.h.get("repulsion"):
            zi, zj = self.z[self.i], self.z[self.j]
            energy = energy + self.over_neighbors(repulsion(zi, zj, self.powers, self.d, self.rho)[0])
        if self.h.get("pair_elements"):
            energy = energy + self.over_neighbors((self.C() * self.psi).sum(1) / 2)
        return energy.sum()

    def backward(self):
        """Forces (N, 3) and virial (3, 3); ``G`` then holds the gradients of the parameters."""
        s_ = np.full((self.N, 1), self.scale)
        for k in reversed(range(len(self.h["head"]) + 1)):
            x = self.head_in[k]
            s_ = self.linear_(f"head.{2 * k}", self.a_head(x) if k else x, s_) * (self.da_head(x) if k else 1.0)
        self.d_, self.u_ = np.zeros_like(self.d), np.zeros_like(self.u)
        if self.h.get("repulsion"):
            zi, zj = self.z[self.i], self.z[self.j]
            self.d_ += repulsion(zi, zj, self.powers, self.d, self.rho)[1]
        if self.h.get("pair_elements"):
            self.d_ += (self.C() * self.dpsi).sum(1) / 2
            rows, known = self.pair_rows()
            np.add.at(self.G["pair_energies.table"], rows[known], self.psi[known] / 2)
        v_, t_ = np.zeros((self.N, 3, self.h["hidden"])), np.zeros((self.N, 5, self.h["hidden"]))
        for b in reversed(range(self.h["n_blocks"])):
            s_, v_, t_ = self.block_backward(b, s_, v_, t_)
        np.add.at(self.G["embedding.weight"], self.z, s_)
        p = self.d_[:, None] * self.u + (self.u_ - (self.u_ * self.u).sum(1, keepdims=True) * self.u) / self.d[:, None]
        forces = self.over_neighbors(p)
        np.subtract.at(forces, self.j, p)
        return forces, -np.einsum("ea,eb->ab", p, self.r)

    def block_backward(self, b, s_, v_, t_):
        s, v, t, c, x, _S, V, T, A, B, A2, B2, n, inv, h, y = self.steps[b]
        name = f"blocks.{b}"
        y_ = [s_, (v_ * B).sum(1), s_ * (A * B).sum(1)]
        if self.rank == 2:
            y_ += [s_ * (A2 * B2).sum(1), (v_ * times(B2, B)).sum(1), (t_ * B2).sum(1), (t_ * outer(A, B)).sum(1)]
        h_ = self.da(h) * self.linear_(f"{name}.update.2", self.a(h), np.concatenate(y_, 1))
        inv_ = np.split(self.linear_(f"{name}.update.0", inv, h_), self.rank + 1, 1)
        e = [values[:, None] for values in y]
        A_ = (s_ * y[2])[:, None] * B + (inv_[1] / n[0])[:, None] * A
        B_ = e[1] * v_ + (s_ * y[2])[:, None] * A
        if self.rank == 2:
            A_ = A_ + e[6] * times(t_, B)
            B_ = B_ + e[4] * times(B2, v_) + e[6] * times(t_, A)
            A2_ = (s_ * y[3])[:, None] * B2 + (inv_[2] / n[1])[:, None] * A2
            B2_ = (s_ * y[3])[:, None] * A2 + e[4] * outer(v_, B) + e[5] * t_
            T_ = t_ + self.linear_(f"{name}.mix_tensors", T, np.concatenate([A2_, B2_], -1))
        S_ = s_ + inv_[0]
        V_ = v_ + self.linear_(f"{name}.mix", V, np.concatenate([A_, B_], -1))
        w, dw = self.filters(b)
        x_ = [self.over_neighbors(w[0] * S_[self.j])]
        x_.append(-self.over_neighbors(w[1] * (self.u[:, :, None] * V_[self.j]).sum(1)))
        M2 = self.over_neighbors(w[2][:, None] * V_[self.j])
        x_.append((M2 * v).sum(1))
        xj = [values[self.j] for values in x]
        Si, Vi, u = S_[self.i], V_[self.i], self.u[:, :, None]
        w_ = [Si * xj[0], (Vi * u).sum(1) * xj[1], (Vi * v[self.j]).sum(1) * xj[2]]
        self.u_ += ((w[1] * xj[1])[:, None] * Vi).sum(-1)
        v_ = V_ + x[2][:, None] * M2
        if self.rank == 2:
            x_.append(self.over_neighbors(w[3] * (self.q[:, :, None] * T_[self.j]).sum(1)))
            M4 = self.over_neighbors(w[4][:, None] * T_[self.j])
            x_.append((M4 * t).sum(1))
            w_ += [(T_[self.i] * self.q[:, :, None]).sum(1) * xj[3], (T_[self.i] * t[self.j]).sum(1) * xj[4]]
            q_ = ((w[3] * xj[3])[:, None] * T_[self.i]).sum(-1)
            self.u_ += 2 * times(q_[:, :, None], self.u[:, :, None])[:, :, 0]
            t_ = T_ + x[4][:, None] * M4
        self.d_ += sum((w_[k] * dw[k]).sum(1) for k in range(len(w_)))
        self.G[f"{name}.filter.weight"] += np.concatenate(w_, 1).T @ self.psi
        if f"{name}.filter.bias" in self.G:
            self.G[f"{name}.filter.bias"] += np.concatenate(w_, 1).T @ self.f
        c_ = self.da(c) * self.linear_(f"{name}.context.2", self.a(c), np.concatenate(x_, 1))
        return S_ + self.linear_(f"{name}.context.0", s, c_), v_, t_


@pytest.mark.parametrize("name", [*PAINN, *SCHNETPACK])
def test_the_page_is_what_the_engine_computes(name):
    torch.manual_seed(4)
    if name in PAINN:
        model = build_model("painn", PAINN[name]).double()
        if model.pair_energies is not None:
            torch.nn.init.normal_(model.pair_energies.table)
    else:
        model = build_model("schnetpack-painn", SCHNETPACK[name]).double()
    for buffer in (*model.radial.buffers(), model.energy_scale):
        buffer.mul_(0.7 + 0.3 * torch.rand_like(buffer))
    atoms = molecule("CH3CH2OH")
    atoms.positions *= 0.75  # so near that floor and repulsion act
    atoms.rattle(0.1, seed=1)
    numbers, positions = torch.tensor(atoms.numbers), torch.tensor(atoms.positions)
    batch = torch.zeros(len(atoms), dtype=torch.int64)
    graph = build_graph(positions, batch, model.cutoff)
    found = Engine(model).evaluate(numbers, positions, batch, 1, graph, virial=True, gradients=True)

    page = Page(model, numbers.numpy(), positions.numpy(), graph.edge_index.numpy())
    energy = page.forward()
    forces, virial = page.backward()
    assert page.d.min() < 0.8 * page.rho[page.d.argmin()], "no two atoms are near enough to each other"
    assert found.energy.item() == pytest.approx(energy, rel=1e-11)
    scale = np.abs(forces).max()
    np.testing.assert_allclose(found.forces.numpy(), forces, rtol=0, atol=1e-11 * scale)
    np.testing.assert_allclose(found.virial[0].numpy(), virial, rtol=0, atol=1e-10 * scale)
    gradients = found.gradients.split([p.numel() for p in model.parameters()])
    for (parameter, _), ours in zip(model.named_parameters(), gradients, strict=True):
        theirs = page.G[parameter].ravel()
        limit = 1e-10 * max(1.0, np.abs(theirs).max())
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=limit, err_msg=parameter)
