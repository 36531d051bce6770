"""What a person watches beside the losses: what runs, how often the gradient is clipped, and how much of a device is
used."""

import sys
from dataclasses import dataclass

import psutil
import torch
from transformers import TrainingArguments

# Operations a second of a GPU without sparsity, from the start of its name: in half precision, in TF32, in float32.
# NVIDIA's data sheets: "H100 Tensor Core GPU" and "H200 Tensor Core GPU" (half of what they give with sparsity),
# "A100 Tensor Core GPU".
PEAKS = {
    "NVIDIA H100 PCIe": (756e12, 378e12, 51e12),
    "NVIDIA H100 80GB HBM3": (989.4e12, 494.7e12, 66.9e12),
    "NVIDIA H200": (989.4e12, 494.7e12, 66.9e12),
    "NVIDIA A100": (312e12, 156e12, 19.5e12),
}


def told_processes(processes: int) -> str:
    """ "1 process", "2 processes"."""
    return f"{processes} process{'es' * (processes != 1)}"


def what_runs(args: TrainingArguments) -> str:
    """How many processes train, and on what: "2 processes on cpu", "1 process on cuda:0 NVIDIA H200"."""
    device = args.device
    name = f" {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    place = device if args.world_size == 1 else device.type  # each has one of its own
    return f"{told_processes(args.world_size)} on {place}{name}"


def peak_memory(device: torch.device) -> int:
    """The most memory that this process has had, in bytes: of a GPU what tensors took there, else what was resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def flop_utilisation(model: torch.nn.Module, tokens_per_second: float, args: TrainingArguments) -> float | None:
    """Which share of the operations that the devices can do is the work of the model, in [0, 1].

    A token takes 6 operations for each weight of its matrices: 2 forward, 4 backward (Chowdhery et al. 2022, "PaLM",
    appendix B). Embeddings are looked up and take none, but where they are also the matrix of the output.

    Args:
        model: of a language.
        tokens_per_second: over all processes.
        args: of the training.

    Returns:
        `None` on a device whose peak is not in `PEAKS`, and on CPUs.
    """
    if args.device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(args.device)
    peaks = next((peaks for start, peaks in PEAKS.items() if name.startswith(start)), None)
    if peaks is None:
        return None
    half, tf32, single = peaks
    uses_tf32 = torch.backends.cudnn.allow_tf32 or torch.get_float32_matmul_precision() != "highest"
    peak = half if args.bf16 or args.fp16 else tf32 if uses_tf32 else single
    return 6 * multiplied_weights(model) * tokens_per_second / (peak * args.world_size)


def multiplied_weights(model: torch.nn.Module) -> int:
    """Weights of matrices by which each token is multiplied."""
    embeddings = [module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    looked_up = {id(weight) for weight in embeddings}
    output = getattr(model, "get_output_embeddings", lambda: None)()
    if output is not None:
        looked_up.discard(id(output.weight))
    return sum(weight.numel() for weight in model.parameters() if weight.dim() > 1 and id(weight) not in looked_up)


@dataclass
class Clipping:
    """How many steps there were, and in how many the gradient was clipped: in all, and since the last report."""

    steps: int = 0
    clipped: int = 0
    new_steps: int = 0
    new_clipped: int = 0

    def note(self, clipped: bool) -> None:
        """One step more."""
        self.steps += 1
        self.clipped += clipped
        self.new_steps += 1
        self.new_clipped += clipped

    @property
    def share(self) -> float | None:
        """Of all steps; `None` before the first."""
        return self.clipped / self.steps if self.steps else None

    def report(self) -> float | None:
        """The share of the steps since the last report; `None` if there were none."""
        share = self.new_clipped / self.new_steps if self.new_steps else None
        self.new_steps = self.new_clipped = 0
        return share
