"""What goes together: which part of a training goes with which way of using devices, and with which other settings.

One table says it. What does not go together is refused before the training begins, as it would compute something else
in silence, or fail after hours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accelerate.utils import DistributedType, str_to_bool
from transformers import TrainingArguments
from transformers.training_args import ParallelMode
from transformers.utils import is_torch_xla_available

from ..errors import UserError

if TYPE_CHECKING:
    from .parts import Part
    from .run_trainer import RunTrainer

GOES = "goes"  # a test trains so, and compares with one process
UNTRIED = "not tried"  # nothing is known against it, and no test has run it


@dataclass(frozen=True)
class Column:
    """A way of using devices, or a setting of `TrainingArguments`.

    Args:
        title: what a sentence calls it.
        is_used: whether the arguments, or the launcher that has set the environment, ask for it.
    """

    title: str
    is_used: Callable[[TrainingArguments], bool]


def launcher_says(name: str) -> bool:
    """Whether `accelerate launch` has switched something on in the environment."""
    return bool(str_to_bool(os.environ.get(name, "false")))


def fsdp_version(args: TrainingArguments) -> int:
    """1 or 2; 0 without fully sharded data parallel."""
    if args.fsdp_plugin_args is not None:
        return int(args.fsdp_plugin_args["fsdp_version"])
    return int(os.environ.get("FSDP_VERSION", "1")) if launcher_says("ACCELERATE_USE_FSDP") else 0


def is_deepspeed(args: TrainingArguments) -> bool:
    return args.deepspeed is not None or launcher_says("ACCELERATE_USE_DEEPSPEED")


def is_compiled(args: TrainingArguments) -> bool:
    return args.torch_compile or os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no").lower() != "no"


def is_ddp(args: TrainingArguments) -> bool:
    return args.parallel_mode == ParallelMode.DISTRIBUTED and not fsdp_version(args) and not is_deepspeed(args)


ENGINES = {
    "ddp": Column("several processes", is_ddp),
    "fsdp2": Column("FSDP 2", lambda args: fsdp_version(args) == 2),
    "fsdp1": Column("FSDP 1", lambda args: fsdp_version(args) == 1),
    "deepspeed": Column("DeepSpeed", is_deepspeed),
    "compile": Column("torch_compile", is_compiled),
    "data_parallel": Column("several GPUs in one process", lambda args: args.n_gpu > 1),
    "xla": Column("XLA", lambda args: is_torch_xla_available()),
    "megatron": Column("Megatron-LM", lambda args: launcher_says("ACCELERATE_USE_MEGATRON_LM")),
}
SETTINGS = {
    "gradient_checkpointing": Column("gradient_checkpointing", lambda args: args.gradient_checkpointing),
    "load_best_model_at_end": Column("load_best_model_at_end", lambda args: args.load_best_model_at_end),
    "label_smoothing_factor": Column("label_smoothing_factor", lambda args: bool(args.label_smoothing_factor)),
    "lr_scheduler_type": Column("lr_scheduler_type", lambda args: args.lr_scheduler_type != "linear"),
    "split_batches": Column("split_batches", lambda args: bool(args.accelerator_config.split_batches)),
    "dispatch_batches": Column("dispatch_batches", lambda args: bool(args.accelerator_config.dispatch_batches)),
}
COLUMNS: Mapping[str, Column] = ENGINES | SETTINGS

# What has a row: every training, trainers of other kinds, and parts; and what a sentence calls it.
ROWS = {
    "run": "a training",
    "bptt_length": "a stream with carried state (bptt_length)",
    "predict_with_generate": "predict_with_generate",
    "train_sampling_strategy": "batches of nearly one length",
    "layer_lr_decay": "layer_lr_decay",
    "direct_learning_rate": "direct_learning_rate",
    "lr_schedule": "lr_schedule",
    "gradual_unfreezing": "gradual_unfreezing",
    "adversarial_epsilon": "adversarial_epsilon",
    "weight_averaging": "weight_averaging",
    "scheduled_sampling": "scheduled_sampling",
}
ONE_PROCESS_A_GPU = (
    "start one process a GPU with `accelerate launch -m rnn_zoo train`, or show one GPU only (CUDA_VISIBLE_DEVICES=0)"
)
LANES = "it would mix the lanes of the processes"
WHOLE_WEIGHTS = "it needs the whole weights in each process"
TRIED = dict.fromkeys(("ddp", "fsdp2", "compile", "gradient_checkpointing"), GOES)
# For each row what is known of the columns: that it goes, or the reason why not. The rest has not been tried. A reason
# that stands at "run" holds for all.
TABLE: dict[str, dict[str, str]] = {row: dict(TRIED) for row in ROWS}
TABLE["run"] |= {
    "fsdp1": "it hides the names and shapes of weights, by which cells and parts find theirs: take version 2",
    "deepspeed": "no GPU was at hand to try it on, and a run may find out after hours what fails: take FSDP version 2",
    "data_parallel": f"torch advises against it, and it copies cells with their states: {ONE_PROCESS_A_GPU}",
    "megatron": "it has models of its own",
}
TABLE["bptt_length"] |= {
    "label_smoothing_factor": "it would smooth unshifted targets",
    "split_batches": LANES,
    "dispatch_batches": LANES,
}
TABLE["lr_schedule"] |= {"lr_scheduler_type": "it stands in its place; give one of them"}
TABLE["gradual_unfreezing"] |= {"compile": "the compiler fails where a part of the weights is frozen"}
TABLE["adversarial_epsilon"] |= {
    "compile": "compiled code passes by the hooks that move the word vectors",
}
TABLE["weight_averaging"] |= {
    "fsdp2": WHOLE_WEIGHTS,
    "load_best_model_at_end": "it would bring back weights that are not averaged",
}


def said_of(row: str, column: str) -> str:
    """What the table says of a row and a column: `GOES`, `UNTRIED`, or the reason why they do not go together."""
    return TABLE["run"][column] if is_refused("run", column) else TABLE.get(row, {}).get(column, UNTRIED)


def is_refused(row: str, column: str) -> bool:
    """Whether the table itself has a reason against a row and a column."""
    return TABLE.get(row, {}).get(column, UNTRIED) not in (GOES, UNTRIED)


def require_in_use(args: TrainingArguments) -> None:
    """Refuses an engine that is asked for and that accelerate would leave out in silence.

    Raises:
        UserError: for processes of which each would train alone, and FSDP on CPUs or in a single process.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started > args.world_size:
        raise UserError(
            f"{started} processes were started, but without GPUs each would train alone: add --use_cpu true"
        )
    kind = args.distributed_state.distributed_type
    if fsdp_version(args) and kind in (DistributedType.NO, DistributedType.MULTI_CPU):
        alone = " in a process that no launcher has started" if kind == DistributedType.NO else ""
        raise UserError(
            f"FSDP: is asked for, but accelerate does not use it on {args.device.type}{alone}: leave it out, or start "
            "the processes with `accelerate launch` where there are GPUs"
        )


def require_together(trainer_class: type[RunTrainer], parts: Iterable[Part], args: TrainingArguments) -> None:
    """Refuses what does not go together.

    Args:
        trainer_class: of the trainer.
        parts: its parts; one of another package need not be in the table.
        args: of the training.

    Raises:
        UserError: for the first two, with the reason; and for an engine that would be left out.
    """
    used = [name for name, column in COLUMNS.items() if column.is_used(args)]
    for row in ("run", trainer_class.key, *(part.key for part in parts)):
        for name in used:
            if row is not None and is_refused(row, name):
                raise UserError(f"{ROWS[row]}: does not go with {COLUMNS[name].title}: {TABLE[row][name]}")
    require_in_use(args)


def as_markdown() -> str:
    """The table as a page shows it, and the reasons."""
    lines = [f"| | {' | '.join(column.title for column in ENGINES.values())} |", "|---" * (1 + len(ENGINES)) + "|"]
    for row, title in ROWS.items():
        said = [said_of(row, name) for name in ENGINES]
        cells = ("yes" if one == GOES else one if one == UNTRIED else "no" for one in said)
        lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += ["", "Why not:", ""]
    lines += [
        f"- {title}, {column.title}: {TABLE[row][name]}"
        for row, title in ROWS.items()
        for name, column in COLUMNS.items()
        if is_refused(row, name)
    ]
    return "\n".join(lines)
