"""What a classifier's keys may be."""

from typing import Literal, get_args

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
SINGLE, MULTI, REGRESSION = PROBLEM_TYPES = list(get_args(ProblemType))
