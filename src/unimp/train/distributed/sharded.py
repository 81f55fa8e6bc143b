"""`ShardedProcessGroup`: several processes, each with a part of weights, gradients and moments (FSDP2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate

from unimp.core.errors import ConfigError
from unimp.model.unimp import UnimpModel
from unimp.train.distributed.sharded_state import forget_state, read_state, write_state
from unimp.train.process_group import ProcessGroup
from unimp.train.state import Position

CPU = torch.device("cpu")
Value = TypeVar("Value")


class ShardedProcessGroup(ProcessGroup):
    """Weights are gathered layer by layer as they are needed; each process computes its own batches."""

    shards = True

    def __init__(self, rank: int, size: int, neighbours: int, device: torch.device) -> None:
        self.rank, self.size, self.neighbours, self.device = rank, size, neighbours, device
        self.mesh = init_device_mesh(device.type, (size,))
        self.used: dict[str, bool] = {}
        """Parameters outside the decoder's layers, and whether they have had a gradient in this step."""
        self.scalars: set[str] = set()

    def broadcast(self, make: Callable[[], Value]) -> Value:
        said: list[Any] = [make() if self.is_main else None]
        dist.broadcast_object_list(said, src=0, device=CPU)
        value: Value = said[0]
        return value

    def merge(self, position: Position) -> None:
        counted: list[Any] = [None] * self.size
        dist.all_gather_object(counted, position)
        position.forget_counts()
        if self.is_main:
            for batch_count in counted:
                position.take(batch_count)

    def shard(
        self,
        step: nn.Module,
        model: UnimpModel,
        layer_dtype: torch.dtype | None,
        seed: int,
        replicated: nn.Module | None = None,
    ) -> None:
        """Every decoder layer is a unit of its own; all else, needed from first to last, is one more."""
        if not hasattr(FSDPModule, "set_reduce_scatter_unused_params"):
            raise ConfigError(
                f"torch {torch.__version__}: several processes need 2.13; pip install 'torch>=2.13'"
            )
        self.lengthen_scalars(model)
        held = set() if replicated is None else set(replicated.parameters())
        for parameter in held:
            parameter.data = parameter.data.to(self.device)
            dist.broadcast(parameter.data, src=0)
        policy = MixedPrecisionPolicy(
            param_dtype=layer_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
        layers = model.decoder.layers
        inner = {*held, *(parameter for layer in layers for parameter in layer.parameters())}
        outer = [n for n, p in model.named_parameters() if p.requires_grad and p not in inner]
        self.used = dict.fromkeys(outer, False)
        step.register_forward_hook(self.watch(model))
        for layer in layers:
            fully_shard(layer, mesh=self.mesh, mp_policy=policy)
        whole = fully_shard(step, mesh=self.mesh, ignored_params=held)
        # A batch without pictures leaves cross-attention without gradients, in this process alone.
        whole.set_reduce_scatter_unused_params(True)
        torch.manual_seed(seed + (self.rank << 32))

    def lengthen_scalars(self, model: UnimpModel) -> None:
        """A number cannot be shared out; a list of one can."""
        for name, parameter in list(model.named_parameters()):
            if parameter.ndim == 0:
                self.scalars.add(name)
                path, _, last = name.rpartition(".")
                longer = nn.Parameter(parameter.detach().reshape(1), parameter.requires_grad)
                setattr(model.get_submodule(path), last, longer)

    def watch(self, model: UnimpModel) -> Callable[..., None]:
        """A hook that, once the parameters are there as a whole, has each mark that it got a gradient."""
        hooked: set[str] = set()

        def add_hooks(*_: Any) -> None:
            for name, parameter in model.named_parameters():
                if name in self.used and name not in hooked:
                    hooked.add(name)
                    parameter.register_post_accumulate_grad_hook(partial(self.mark_used, name))

        return add_hooks

    def mark_used(self, name: str, _: Tensor) -> None:
        self.used[name] = True

    def sync_unused_grads(self, model: UnimpModel) -> None:
        used = torch.tensor(list(self.used.values()), dtype=torch.uint8)
        dist.all_reduce(used, dist.ReduceOp.MAX)
        unused = {name for name, is_used in zip(self.used, used.tolist(), strict=True) if not is_used}
        for name, parameter in model.named_parameters():
            if name in unused:
                parameter.grad = None
        self.used = dict.fromkeys(self.used, False)

    def union(self, rows: Tensor) -> Tensor:
        counts = rows.new_empty(self.size)
        dist.all_gather_single(counts, rows.new_tensor([len(rows)]))
        most = int(counts.max())
        padded = rows.new_full((most,), -1)
        padded[: len(rows)] = rows
        found = rows.new_empty(self.size * most)
        dist.all_gather_single(found, padded)
        return torch.unique(found[found >= 0])

    def average(self, gradient: Tensor) -> None:
        dist.all_reduce(gradient)
        gradient /= self.size

    def clip_gradients(self, model: UnimpModel, rows: Sequence[Tensor], most: float) -> None:
        torch.nn.utils.clip_grad_norm_([*model.parameters(), *map(self.as_replica, rows)], most)

    def as_replica(self, rows: Tensor) -> Tensor:
        """The same memory as a DTensor, whose norm is counted once for all processes."""
        assert rows.grad is not None
        replica: Tensor = DTensor.from_local(rows.detach(), self.mesh, [Replicate()], run_check=False)
        replica.grad = DTensor.from_local(rows.grad, self.mesh, [Replicate()], run_check=False)
        return replica

    def gathered(self, model: UnimpModel) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, tensor in model.learned_state().items():
            whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self.is_main:
                kept = whole.detach().to(CPU)
                found[name] = kept[0] if name in self.scalars else kept
        return found

    def write_state(
        self, folder: Path, model: UnimpModel, optimizer: torch.optim.Optimizer, position: Position
    ) -> None:
        write_state(self, folder, model, optimizer, position)

    def read_state(
        self, folder: Path, model: UnimpModel, optimizer: torch.optim.Optimizer
    ) -> Position | None:
        return read_state(self, folder, model, optimizer)

    def forget_state(self, folder: Path) -> None:
        forget_state(folder)

    def close(self) -> None:
        dist.all_reduce(torch.zeros(()))  # nobody leaves while another still speaks
        dist.destroy_process_group()
