"""Which routines a network needs for what it is asked to do: compiled or loaded here, and written into its records."""

from ..activations import ACTIVATIONS
from ..losses import LOSSES, METRICS
from ..optimizers import OPTIMIZERS
from ..plan import OP_ACTIVATION
from . import (
    activations,
    backward_pass,
    batch,
    forward_pass,
    lookahead,
    losses,
    matmul,
    matrix_unit,
    noise,
    normalization,
    optimizers,
    penalties,
    tied,
    weights,
)
from .batch import FORWARD, LOSS_GRAD, TRAIN, UPDATE


def activation(code, dtype, gradient=False):
    """The address of an activation's routine, or of its gradient's; 0 for the linear one, which needs none."""
    name = ACTIVATIONS[code].name
    return 0 if name == "linear" else activations.ROUTINES[name][gradient].address(dtype)


def loss(code, dtype):
    """The address of a loss's routine."""
    return losses.LOSS_ROUTINES[LOSSES[code].name].address(dtype)


def link(workspace, mode):
    """Complete the records of a workspace for a mode."""
    if mode in workspace.linked:
        return
    plan, job, ops = workspace.plan, workspace.job[0], workspace.ops
    dtype, metrics = plan.dtype, [losses.METRIC_ROUTINES[METRICS[code].name] for code in plan.metrics]
    needed, normalizing = {}, ops["groups"].any()
    if mode != UPDATE:
        needed |= {"gather": batch.gather, "forward": forward_pass.forward, "multiply": matmul.multiply}
        if (ops["x_parts"] >= 0).any():
            needed |= {"split_inputs": forward_pass.split_inputs, "split_panel": matrix_unit.split_panel}
            needed |= {"multiply_parts": matrix_unit.multiply_parts, "gather_parts": batch.gather_parts}
        if ops["rowwise"].any():
            needed["rowwise_forward"] = forward_pass.rowwise_forward
        if normalizing:
            needed["normalize"] = normalization.normalize
        for op, code in zip(ops, plan.ops[:, OP_ACTIVATION], strict=True):
            op["activate"] = activation(code, dtype)
            if mode <= LOSS_GRAD:
                op["activate_grad"] = activation(code, dtype, gradient=True)
    if mode not in (UPDATE, FORWARD):
        needed |= {"loss": batch.loss, "add_up": batch.add_up}
        job["loss_row"] = loss(plan.loss, dtype)
        workspace.metrics[:] = [routine.address(dtype) for routine in metrics]
        if job["penalized"]:
            needed |= {name: getattr(penalties, name) for name in ("add_activities", "sum_penalties", "total_penalty")}
    if mode <= LOSS_GRAD:
        needed |= {name: getattr(backward_pass, name) for name in ("rows_backward", "finish_backward", "backward")}
        if ops["by_rows"].any():
            needed["input_gradients_rows"] = backward_pass.input_gradients_rows
        if (ops["turned"] >= 0).any():
            needed["input_gradients"] = backward_pass.input_gradients
        if job["slabs"]:
            needed["slab_gradients"] = weights.slab_gradients
        if (ops["d_parts"] >= 0).any():
            needed["split_rows"] = matrix_unit.split_rows
            needed["input_gradients_parts"] = backward_pass.input_gradients_parts
        if ops["rowwise"].any():
            needed["rowwise_backward"] = backward_pass.rowwise_backward
        if (ops["threshold"] >= 0).any():
            needed["drop_rows"] = noise.drop_rows
        if ops["gaussian_noise"].any() or ops["gaussian_dropout"].any():
            needed["noise_rows"] = noise.noise_rows
        if job["penalized"]:
            needed["add_slope"] = penalties.add_slope
        if job["tied"]:
            needed["add_tied"] = tied.add_tied
        if normalizing:
            needed["hand_down_norm"] = normalization.hand_down_norm
    if mode <= UPDATE:
        needed["weight_gradients"] = weights.weight_gradients
        if job["whole"] or mode == UPDATE:
            needed["update"] = backward_pass.update
        if normalizing:
            needed["norm_weights"] = normalization.norm_weights
    if mode in (TRAIN, UPDATE):
        needed["apply"] = optimizers.ROUTINES[OPTIMIZERS[plan.optimizer].name]
        if job["sgd"]:
            needed["descend"] = weights.descend
            needed |= {name: getattr(lookahead, name) for name in ("descend_and_look_ahead", "forward_ahead")}
        if ops["kernel_decay"].any() or ops["bias_decay"].any():
            needed["decay_weights"] = optimizers.decay_weights
        if job["clip_norm"]:
            needed |= {"sum_squares": penalties.sum_squares, "clip_factor": penalties.clip_factor}
        if job["clip_value"]:
            needed["clip_values"] = penalties.clip_values
        if job["constrained"]:
            needed["constrain"] = penalties.constrain
        if job["tied"]:
            needed["refresh_tied"] = tied.refresh_tied
    for name, routine in needed.items():
        job[name] = routine.address(dtype)
    workspace.linked.add(mode)
