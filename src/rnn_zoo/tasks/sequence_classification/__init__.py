"""The task `sequence_classification`: a text -> its label, its labels, or numbers."""

from ..task import WHOLE_TEXT, Score, Task

CONFUSION_FILE = "confusion.png"
SUFFIX = ".html"

TASK = Task(
    name="sequence_classification",
    package=__name__,
    noun="classifier",
    head="rnn_zoo.models.modeling_sequence_classification:RnnForSequenceClassification",
    auto_class="AutoModelForSequenceClassification",
    arguments=".keys:ClassificationArguments",
    run=".run:SequenceClassificationRun",
    command="classify",
    command_help="find the label of a text, a file or standard input, and the words that decided",
    scored=WHOLE_TEXT,
    documents=".data:documents",
    user=".classifier:Classifier",
    exports={"Classifier": ".classifier"},
    embedded_data=("sentiment_sample", "cldr_languages"),
    transfers=True,
    pipeline_tag="text-classification",
    usage="""\
from transformers import pipeline

classify = pipeline("text-classification", model={model}{trust})
print(classify({example}))
""",
    example="A wonderful film.",
    demo=("classify", "{checkpoint}", "{example}"),
    scores=(
        Score("accuracy", "accuracy", "accuracy", is_share=True),
        Score("macro_f1", "f1", "macro-F1", is_share=True),
        Score("micro_f1", "f1", "micro-F1", is_share=True),
        Score("matthews_correlation", "matthews_correlation", "Matthews correlation"),
        Score("mse", "mse", "mean squared error"),
        Score("pearson", "pearsonr", "Pearson correlation"),
    ),
    baselines=("tfidf", "tfidf_characters"),
    pictures=(CONFUSION_FILE,),
    decided=frozenset({"tokenizer_type", "unicode_normalization", "fold_case", "clean_markup", "problem_type"}),
)
