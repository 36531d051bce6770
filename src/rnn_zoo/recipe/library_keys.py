"""What is to be known of the keys that are those of `transformers.Seq2SeqTrainingArguments`: a row each.

Their names, types and defaults are the library's; it stands here what they mean for a run of ours. With this table a
key is known to be one without importing the library, and torch with it.
"""

from dataclasses import dataclass
from functools import partial

from ..models.keys import Key
from ..models.ranges import SHARE, Range


@dataclass(frozen=True)
class LibraryKey(Key):
    """See `Key`; every number has a range, `Range()` where any finite one will do.

    Args:
        whole: whether its number is a whole one.
        measures: whether an evaluation of a checkpoint that somebody else has made uses it: such a checkpoint chooses
            no device, engine, service or output folder.
        is_engine: whether that is said where it is left out; others than these change nothing in an evaluation.
        of_generation: whether only tasks that generate have it.
    """

    help: str = ""  # the library explains them
    whole: bool = False
    measures: bool = False
    is_engine: bool = False
    of_generation: bool = False

    @property
    def type(self) -> type[int] | type[float] | None:
        """Of its number; `None` if it is none."""
        return None if self.within is None else int if self.whole else float


# When a run goes on: refused if it has another value, applied from there on, free to have any.
fixed = LibraryKey
applies = partial(LibraryKey, on_resume="applies")
free = partial(LibraryKey, on_resume="free")

LIBRARY_KEYS: dict[str, LibraryKey] = {
    "output_dir": free(of_one_machine=True),
    "per_device_train_batch_size": fixed(whole=True, within=Range(1), measures=True),
    "num_train_epochs": applies(within=Range(0)),
    "max_steps": applies(whole=True, within=Range(-1)),
    "learning_rate": applies(within=Range(0)),
    "lr_scheduler_type": fixed(),
    "lr_scheduler_kwargs": fixed(),
    "warmup_steps": fixed(within=Range(0)),
    "optim": fixed(),
    "optim_args": fixed(),
    "weight_decay": applies(within=Range(0)),
    "adam_beta1": fixed(within=SHARE),
    "adam_beta2": fixed(within=SHARE),
    "adam_epsilon": fixed(within=Range(0, above=True)),
    "optim_target_modules": fixed(),
    "gradient_accumulation_steps": fixed(whole=True, within=Range(1)),
    "average_tokens_across_devices": fixed(),
    "max_grad_norm": applies(within=Range(0)),
    "label_smoothing_factor": fixed(within=SHARE, measures=True),
    "bf16": applies(),
    "fp16": applies(),
    "bf16_full_eval": free(is_engine=True),
    "fp16_full_eval": free(is_engine=True),
    "tf32": free(is_engine=True),
    "activation_checkpointing": free(),
    "activation_checkpointing_kwargs": free(),
    "gradient_checkpointing": free(),
    "gradient_checkpointing_kwargs": free(),
    "torch_compile": free(is_engine=True),
    "torch_compile_backend": free(is_engine=True),
    "torch_compile_mode": free(is_engine=True),
    "use_liger_kernel": fixed(is_engine=True),
    "liger_kernel_config": fixed(),
    "use_cache": free(),
    "neftune_noise_alpha": fixed(within=Range(0)),
    "torch_empty_cache_steps": free(whole=True, within=Range(1)),
    "auto_find_batch_size": fixed(is_engine=True),
    "logging_strategy": free(),
    "logging_steps": free(within=Range(0)),
    "logging_first_step": free(),
    "log_on_each_node": free(),
    "logging_nan_inf_filter": free(),
    "include_num_input_tokens_seen": free(),
    "log_level": free(),
    "log_level_replica": free(),
    "disable_tqdm": free(of_one_machine=True),
    "report_to": free(is_engine=True),
    "run_name": free(is_engine=True),
    "project": free(),
    "trackio_space_id": free(is_engine=True),
    "trackio_bucket_id": free(),
    "trackio_static_space_id": free(),
    "eval_strategy": free(),
    "eval_steps": free(within=Range(0)),
    "eval_delay": free(within=Range(0)),
    "per_device_eval_batch_size": free(whole=True, within=Range(1), measures=True),
    "prediction_loss_only": free(),
    "eval_on_start": free(),
    "eval_do_concat_batches": free(),
    "eval_use_gather_object": free(),
    "eval_accumulation_steps": free(whole=True, within=Range(1), measures=True),
    "include_for_metrics": free(),
    "batch_eval_metrics": free(),
    "save_only_model": free(),
    "save_strategy": free(),
    "save_steps": free(within=Range(0)),
    "save_on_each_node": free(),
    "save_total_limit": free(whole=True, within=Range(0)),
    "enable_jit_checkpoint": free(),
    "push_to_hub": free(on_card=False),
    "hub_token": free(is_engine=True),
    "hub_private_repo": free(on_card=False),
    "hub_model_id": free(on_card=False),
    "hub_strategy": free(on_card=False),
    "hub_always_push": free(on_card=False),
    "hub_revision": free(on_card=False),
    "load_best_model_at_end": free(),
    "metric_for_best_model": fixed(),
    "greater_is_better": fixed(),
    "ignore_data_skip": fixed(),
    "restore_callback_states_from_checkpoint": free(),
    "full_determinism": fixed(),
    "seed": fixed(whole=True, within=Range(0, 2**32 - 1), measures=True),
    "data_seed": fixed(whole=True, within=Range(0, 2**32 - 1)),
    "use_cpu": free(is_engine=True, on_card=False),
    "accelerator_config": fixed(is_engine=True),
    "parallelism_config": fixed(is_engine=True),
    "dataloader_drop_last": fixed(),
    "dataloader_num_workers": free(whole=True, within=Range(0, 1024), is_engine=True),
    "dataloader_pin_memory": free(),
    "dataloader_persistent_workers": free(),
    "dataloader_prefetch_factor": free(whole=True, within=Range(1)),
    "dataloader_multiprocessing_context": free(),
    "dataloader_in_order": free(),
    "remove_unused_columns": free(),
    "label_names": fixed(),
    "train_sampling_strategy": fixed(),
    "length_column_name": fixed(),
    "ddp_find_unused_parameters": free(),
    "ddp_bucket_cap_mb": free(whole=True, within=Range(1)),
    "ddp_broadcast_buffers": free(),
    "ddp_static_graph": free(),
    "ddp_backend": free(is_engine=True, is_kept=False),
    "ddp_timeout": free(whole=True, within=Range(1)),
    "fsdp": fixed(is_engine=True),
    "fsdp_config": fixed(is_engine=True),
    "deepspeed": fixed(is_engine=True),
    "debug": free(is_engine=True),
    "skip_memory_metrics": free(),
    "do_train": free(),
    "do_eval": free(),
    "do_predict": free(),
    "resume_from_checkpoint": free(is_kept=False),
    "local_rank": free(whole=True, within=Range(-1), is_engine=True),
    "sortish_sampler": fixed(of_generation=True),
    "predict_with_generate": free(measures=True, of_generation=True),
    "generation_max_length": free(whole=True, within=Range(1), measures=True, of_generation=True),
    "generation_num_beams": free(whole=True, within=Range(1), measures=True, of_generation=True),
    "generation_config": free(is_engine=True, of_generation=True),
}
