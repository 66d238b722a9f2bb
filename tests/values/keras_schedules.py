"""Learning rates by Keras and PyTorch. Writes keras_schedules.json beside this file.

KERAS_BACKEND=jax JAX_ENABLE_X64=1 python tests/values/keras_schedules.py    (keras 3.15.0, torch 2.13)
"""

import json
from pathlib import Path

import keras
import torch

keras.config.set_floatx("float64")
STEPS = [0, 1, 3, 4, 5, 9, 10, 11, 14, 17, 29, 31, 39, 40, 41, 77, 100]
CASES = [
    ("PiecewiseConstantDecay", {"boundaries": [4, 10.5, 40], "values": [0.5, 0.25, 0.125, 0.01]}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, "staircase": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, "staircase": True}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 30}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 30, "power": 2.0, "end_learning_rate": 0.01}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 30, "power": 0.5, "cycle": True}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 40}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 40, "alpha": 0.1}),
    (
        "CosineDecay",
        {"initial_learning_rate": 0.01, "decay_steps": 40, "alpha": 0.1, "warmup_target": 0.2, "warmup_steps": 10},
    ),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 10}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 8, "t_mul": 1.5, "m_mul": 0.7}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 9, "t_mul": 1.0, "alpha": 0.2}),
]
ONE_CYCLE = [
    {"total_steps": 101},
    {"total_steps": 101, "pct_start": 0.1, "anneal_strategy": "linear"},
    {"total_steps": 101, "pct_start": 0.5, "div_factor": 10.0, "final_div_factor": 100.0},
    {"total_steps": 101, "pct_start": 0.0},
]


def one_cycle(options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.4, cycle_momentum=False, **options)
    rates = []
    for _ in range(options["total_steps"]):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        if len(rates) < options["total_steps"]:
            schedule.step()
    return [rates[step] for step in STEPS]


def main():
    cases = []
    for name, options in CASES:
        schedule = getattr(keras.optimizers.schedules, name)(**options)
        cases.append({"name": name, "options": options, "rates": [float(schedule(float(step))) for step in STEPS]})
    for options in ONE_CYCLE:
        rates = one_cycle(options)
        cases.append({"name": "OneCycle", "options": {"max_learning_rate": 0.4, **options}, "rates": rates})
    Path(__file__).with_suffix(".json").write_text(json.dumps({"steps": STEPS, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
