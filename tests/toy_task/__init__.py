"""A task of somebody else: whether a text is a palindrome. `tests/test_new_task.py` makes it known."""

from rnn_zoo.tasks.task import Score, Task

TASK = Task(
    name="palindromes",
    package=__name__,
    noun="judge of palindromes",
    head="toy_task.modeling:RnnForPalindromes",
    auto_class="AutoModelForNextSentencePrediction",
    arguments=".keys:PalindromeArguments",
    run=".run:PalindromeRun",
    command="palindrome",
    command_help="say whether a text is a palindrome",
    pipeline_tag="text-classification",
    usage='print("{model}"{trust})\n',
    example="abba",
    demo=("palindrome", "{checkpoint}", "{example}"),
    scores=(Score("accuracy", "accuracy", "accuracy", is_share=True),),
    decided=frozenset({"fold_case"}),
)
