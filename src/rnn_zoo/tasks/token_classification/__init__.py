"""The task `token_classification`: a tagger of words, with or without a CRF."""

from ..task import EACH_TOKEN, Score, Task

TASK = Task(
    name="token_classification",
    package=__name__,
    noun="tagger",
    head="rnn_zoo.models.modeling_token_classification:RnnForTokenClassification",
    auto_class="AutoModelForTokenClassification",
    arguments=".keys:TaggingArguments",
    run=".run:TokenClassificationRun",
    command="tag",
    command_help="find the entities, or label the words, of a text or a file",
    scored=EACH_TOKEN,
    user=".tagger:Tagger",
    exports={"Tagger": ".tagger"},
    embedded_data=("ner_sample",),
    transfers=True,
    reads_words=True,
    pipeline_tag="token-classification",
    usage="""\
from transformers import pipeline

tag = pipeline("token-classification", model={model}, aggregation_strategy="{aggregation}"{trust})
print(tag({example}))
""",
    example="Asha Rao went from Pune to London.",
    demo=("tag", "{checkpoint}", "{example}"),
    scores=(
        Score("f1", "f1", "F1 of entities", is_share=True),
        Score("precision", "precision", "precision", is_share=True),
        Score("recall", "recall", "recall", is_share=True),
        Score("token_accuracy", "accuracy", "accuracy of words", is_share=True),
    ),
    by_kind=Score("f1", "f1", "F1", is_share=True),
    baselines=("crfsuite",),
    decided=frozenset({"lowercase", "digits_to_zero", "tokenizer_name", "word_vectors", "rare_word_dropout"}),
)
