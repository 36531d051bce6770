"""The parts of a training of few examples, as a recipe asks for them: what a model begins with is changed carefully,
and nothing is learnt by heart."""

from ..ranges import check_ranges
from .keys import RegularizationArguments, TransferArguments
from .layers import DirectRate, GradualUnfreezing, LayerRates
from .parts import Part
from .regularization import AdversarialTraining, AveragedWeights
from .schedules import Schedule


def fine_tuning_parts(
    transfer: TransferArguments | None = None, regularization: RegularizationArguments | None = None
) -> list[Part]:
    """New parts for one training.

    Raises:
        UserError: for a number out of its range.
    """
    transfer, regularization = transfer or TransferArguments(), regularization or RegularizationArguments()
    for arguments in (transfer, regularization):
        check_ranges(arguments)
    parts: list[Part] = []
    if transfer.layer_lr_decay < 1:
        parts.append(LayerRates(transfer.layer_lr_decay))
    parts.append(DirectRate(transfer.direct_learning_rate))
    if transfer.lr_schedule != "none":
        parts.append(Schedule(transfer.lr_schedule))
    if transfer.gradual_unfreezing:
        parts.append(GradualUnfreezing())
    if regularization.adversarial_epsilon:
        parts.append(AdversarialTraining(regularization.adversarial_epsilon))
    if regularization.weight_averaging:
        parts.append(AveragedWeights(regularization.weight_averaging))
    return parts
