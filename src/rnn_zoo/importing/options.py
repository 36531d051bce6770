"""What may be said of weights that are imported: known without torch."""

from ..tasks import TASKS
from ..tasks.task import EACH_TOKEN, NEXT_TOKEN, WHOLE_TEXT

NAMES = {task.scored: task.name for task in TASKS.values()}
CAUSAL_LM, TOKENS, SEQUENCES = (NAMES[scored] for scored in (NEXT_TOKEN, EACH_TOKEN, WHOLE_TEXT))
IMPORTED = (CAUSAL_LM, TOKENS, SEQUENCES)
POOLED = {"last": 1, "mean": 1, "max": 1, "concat": 3}  # poolings without weights, and how often each has the features
