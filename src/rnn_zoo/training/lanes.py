"""The lanes of truncated back-propagation: how processes share them, and their states in checkpoints."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ..errors import UserError
from ..models.recurrent_state import RecurrentState
from .watching import told_processes


@dataclass(frozen=True)
class LaneLayout:
    """How the lanes of a stream are shared.

    Batch after batch has `per_device_train_batch_size` lanes that follow each other, and goes to process after process,
    in turn for each micro-batch of a step. So row `b` of micro-batch `m` in process `p` is the global lane
    `(m · processes + p) · per_device_train_batch_size + b`.
    """

    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    processes: int
    bptt_length: int

    @property
    def groups(self) -> int:
        """Batches of a step, over all processes."""
        return self.processes * self.gradient_accumulation_steps

    @property
    def lanes(self) -> int:
        """Of a step, over all processes."""
        return self.per_device_train_batch_size * self.groups

    def lanes_of(self, micro_batch: int, process: int) -> range:
        """The global lanes of a batch."""
        group = micro_batch * self.processes + process
        return range(group * self.per_device_train_batch_size, (group + 1) * self.per_device_train_batch_size)

    def place_of(self, lane: int) -> tuple[int, int, int]:
        """Micro-batch, process and row of a global lane."""
        group, row = divmod(lane, self.per_device_train_batch_size)
        return *divmod(group, self.processes), row

    def __str__(self) -> str:
        return (
            f"{self.lanes} lanes ({told_processes(self.processes)} x per_device_train_batch_size="
            f"{self.per_device_train_batch_size} x gradient_accumulation_steps={self.gradient_accumulation_steps})"
        )


class CarriedStates:
    """The states of a checkpoint, which each process has written for its own lanes, by global lane: however the lanes
    are shared when the run goes on.

    Args:
        checkpoint: a folder.
        layout: of the run that goes on.

    Raises:
        UserError: if they are not there, or are those of other lanes.
    """

    def __init__(self, checkpoint: str, layout: LaneLayout):
        first = state_file(checkpoint, 0)
        if not first.is_file():
            raise UserError(
                f"{checkpoint} holds no {first.name}: another trainer has written it, so the carried state is unknown"
            )
        with safe_open(first, "pt") as file:
            metadata = file.metadata() or {}
        try:
            written = LaneLayout(**{name: int(size) for name, size in metadata.items()})
        except (TypeError, ValueError):
            raise UserError(f"{first}: does not say of which lanes it is: it is damaged") from None
        if written.bptt_length != layout.bptt_length:
            raise UserError(
                f"bptt_length={layout.bptt_length}, but {checkpoint} was trained with {written.bptt_length}: resume "
                "with the same lanes, cut as they were"
            )
        if written.lanes != layout.lanes:
            raise UserError(
                f"this run has {layout}, but {checkpoint} was trained with {written}: resume with the same lanes "
                "in all; they may be shared in another way"
            )
        self.checkpoint, self.layout, self.written = checkpoint, layout, written
        self._read: dict[int, dict[str, torch.Tensor]] = {}  # of each process that wrote

    def state(self, micro_batch: int, process: int) -> RecurrentState | None:
        """Of a batch of the run that goes on; `None` if its lanes have not begun.

        Raises:
            UserError: if a file is missing, or lacks lanes that others have.
        """
        parts: dict[tuple[int, int], list[int]] = {}  # the rows of each batch that was written, in order
        for lane in self.layout.lanes_of(micro_batch, process):
            its_micro_batch, its_process, row = self.written.place_of(lane)
            parts.setdefault((its_micro_batch, its_process), []).append(row)
        found = [self._batch(*place) for place in parts]
        if not any(found):
            return None
        if len({frozenset(tensors) for tensors in found}) > 1:
            raise UserError(f"{self.checkpoint}: the carried state of some lanes is missing")
        rows = [torch.tensor(rows) for rows in parts.values()]
        names = found[0]
        return RecurrentState.from_dict(
            {name: torch.cat([part[name][own] for part, own in zip(found, rows, strict=True)]) for name in names}
        )

    def _batch(self, micro_batch: int, process: int) -> dict[str, torch.Tensor]:
        """What was written of a batch."""
        if process not in self._read:
            path = state_file(self.checkpoint, process)
            if not path.is_file():
                raise UserError(f"{path} is missing: {self.written.processes} processes have written the checkpoint")
            self._read[process] = load_file(path)
        prefix = f"{micro_batch}/"
        tensors = self._read[process].items()
        return {name.removeprefix(prefix): tensor for name, tensor in tensors if name.startswith(prefix)}


def state_file(folder: str, process: int) -> Path:
    """Where a process writes the states of its lanes."""
    return Path(folder) / f"carried_state-{process}.safetensors"
