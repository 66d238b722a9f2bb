"""PyTorch, where it is installed: a third opinion on gradients, and on ten steps of each optimiser."""

import numpy as np
import pytest
from fastnn.kernels.activations import ACTIVATIONS
from fastnn.kernels.losses import LOSSES
from helpers.compare import relative
from helpers.nets import Fit, case, ending, parse

torch = pytest.importorskip("torch", reason="PyTorch is not installed; it is an oracle where it is")

names = [row.name for row in ACTIVATIONS]


class Exponential(torch.nn.Module):
    def forward(self, z):
        return torch.exp(z)


def torch_network(text):
    """A PyTorch module of the same shape, in float64, without dropout."""
    simple = {name: lambda f=name: getattr(torch.nn, f)() for name in ("ReLU", "GELU", "SiLU", "Tanh", "Sigmoid")}
    made = {name.lower(): make for name, make in simple.items()}
    made["softplus"], made["softmax"] = torch.nn.Softplus, lambda: torch.nn.Softmax(-1)
    made["exponential"] = Exponential
    width, layers = parse(text)
    modules = []
    for what, *arguments in layers:
        if what == "dense":
            modules.append(torch.nn.Linear(width, arguments[0], bias=arguments[1], dtype=torch.float64))
            width = arguments[0]
        elif arguments[0] == "leaky_relu":
            modules.append(torch.nn.LeakyReLU(arguments[1]))
        elif arguments[0] == "elu":
            modules.append(torch.nn.ELU(arguments[1]))
        elif arguments[0] != "linear":
            modules.append(made[arguments[0]]())
    return torch.nn.Sequential(*modules)


def load(module, params):
    """Our flat vector into the module: W transposed, then b."""
    start = 0
    for linear in module:
        for name, tensor in linear.named_parameters():
            part = torch.from_numpy(params[start : start + tensor.numel()])
            start += tensor.numel()
            with torch.no_grad():
                tensor.copy_(part.reshape(tensor.T.shape).T if name == "weight" else part)


def flat(module, what=lambda tensor: tensor):
    """The module's parameters, or something of theirs, as our flat vector."""
    parts = [what(t).detach().numpy() for linear in module for t in linear.parameters()]
    return np.concatenate([(p.T if p.ndim == 2 else p).ravel() for p in parts])


def torch_loss(row):
    functional = torch.nn.functional
    return {
        "mse": functional.mse_loss,
        "mae": functional.l1_loss,
        "binary_crossentropy": functional.binary_cross_entropy_with_logits,
        "categorical_crossentropy": functional.cross_entropy,
        "sparse_categorical_crossentropy": lambda z, t: functional.cross_entropy(z, t.long()),
        "huber": functional.huber_loss,
        "log_cosh": lambda z, t: torch.log(torch.cosh(z - t)).mean(),
        "poisson": lambda z, t: functional.poisson_nll_loss(z, t, log_input=False, eps=1e-7),
        "kl_divergence": lambda z, t: functional.kl_div(torch.log(z), t, reduction="batchmean"),
        "hinge": lambda z, t: torch.relu(1 - z * t).mean(),
        "squared_hinge": lambda z, t: (torch.relu(1 - z * t) ** 2).mean(),
        "categorical_hinge": lambda z, t: torch.relu(1 + (z - z * t).amax(1) - (z * t).sum(1)).mean(),
        "cosine_similarity": lambda z, t: -functional.cosine_similarity(z, t, dim=1).mean(),
    }[row.name]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda row: row.name)
@pytest.mark.parametrize("activation", names)
def test_gradient_of_pytorch(backend, activation, loss):
    second = "tanh" if activation == "exponential" else activation  # one upon another grows beyond what losses clip
    text = f"6 11 {activation} 5nb {second} 4" + ending(loss.name, from_logits=True)
    c = case(text, 9, 9, loss=loss.name, from_logits=True, dtype="float64")
    module = torch_network(text)
    load(module, c.params)
    value = torch_loss(loss)(module(torch.from_numpy(c.x)), torch.from_numpy(c.y))
    value.backward()
    gradient, sums = Fit.of(backend, c).loss_grad(c.x, c.y)
    assert sums[0] / 9 == pytest.approx(value.item(), rel=1e-12)
    assert relative(gradient, flat(module, lambda t: t.grad)) < 1e-10


@pytest.mark.parametrize(
    ("name", "hyper", "peer", "options"),
    [
        ("sgd", {}, "SGD", {}),
        ("momentum", {}, "SGD", {"momentum": 0.9}),
        ("momentum", {"nesterov": 1.0, "momentum": 0.8}, "SGD", {"momentum": 0.8, "nesterov": True}),
        # PyTorch adds epsilon elsewhere; one this small makes no difference to gradients of ours.
        ("adam", {"epsilon": 1e-25}, "Adam", {"eps": 1e-25}),
        ("rmsprop", {"epsilon": 1e-50}, "RMSprop", {"eps": 1e-25, "alpha": 0.9}),
    ],
)
def test_ten_steps_of_pytorch(backend, name, hyper, peer, options):
    text = "6 11 tanh 5 gelu 3"
    c = case(text, 90, 9, optimizer=name, hyper=hyper, dtype="float64")
    rates = np.linspace(0.02, 0.01, 10)
    module = torch_network(text)
    load(module, c.params)
    optimizer = getattr(torch.optim, peer)(module.parameters(), lr=1.0, **options)
    losses = []
    for k, rate in enumerate(rates if name != "momentum" else np.full(10, 0.01)):
        # (PyTorch's momentum leaves the rate out of its velocity, so that the two agree for a constant rate only.)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        rows = slice(9 * k, 9 * k + 9)
        value = torch.nn.functional.mse_loss(module(torch.from_numpy(c.x[rows])), torch.from_numpy(c.y[rows]))
        value.backward()
        optimizer.step()
        losses.append(value.item())
    fit = Fit.of(backend, c)
    _, sums = fit.train(c.x, c.y, rates=rates if name != "momentum" else np.full(10, 0.01))
    np.testing.assert_allclose(sums[:, 0] / 9, losses, rtol=1e-9)
    np.testing.assert_allclose(fit.host()[0], flat(module), rtol=1e-9, atol=1e-11)
