"""The processes that train one model together, one a device, started by torch's own launcher."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Team:
    """This process's place in its team; a team of one needs no launcher."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this process writes what the team has in common."""
        return self.rank == 0

    def wrap(self, model: "torch.nn.Module") -> "torch.nn.Module":
        """Return a model whose gradients are the mean over the team."""
        if self.size == 1:
            return model
        from torch.nn import SyncBatchNorm
        from torch.nn.parallel import DistributedDataParallel

        if self.device.startswith("cuda"):
            # Statistics over the whole batch, as one device would have; CPUs know no such layer.
            model = SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(model)

    def add_up(self, tensor: "torch.Tensor") -> "torch.Tensor":
        """Return the sum of a tensor over the team."""
        if self.size == 1:
            return tensor
        import torch.distributed

        total = tensor.clone()
        torch.distributed.all_reduce(total)
        return total

    def meet(self) -> None:
        """Wait until the whole team is here."""
        if self.size > 1:
            import torch.distributed

            torch.distributed.barrier()


@contextmanager
def join_team(device: str) -> Iterator[Team]:
    """Join the team that ``torchrun`` started this process for; alone without one.

    ``device`` is ``cpu`` or ``cuda``; on GPUs each process takes the one of its local rank.
    """
    import torch
    import torch.distributed

    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(device=device)
        return
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Team(torch.distributed.get_rank(), size, device)
    finally:
        torch.distributed.destroy_process_group()
