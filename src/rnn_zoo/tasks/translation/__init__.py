"""The task `translation`: an encoder and a decoder, from a text to another."""

from ..task import Score, Task

ATTENTION_FILE = "attention.html"

TASK = Task(
    name="translation",
    package=__name__,
    noun="translator",
    head="rnn_zoo.models.modeling_rnn_seq2seq:RnnSeq2SeqForConditionalGeneration",
    auto_class="AutoModelForSeq2SeqLM",
    arguments=".keys:TranslationArguments",
    keys="rnn_zoo.models.keys_seq2seq:RnnSeq2SeqKeys",
    run=".run:TranslationRun",
    command="translate",
    command_help="translate a text, a file or standard input, and show where the model looked",
    pipeline=("rnn_zoo.models.pipeline_translation:RnnTranslationPipeline", "rnn-translation"),
    user=".translator:Translator",
    exports={"Translator": ".translator"},
    embedded_data=("dates", "cldr_names"),
    generates=True,
    pipeline_tag="translation",
    usage="""\
from transformers import pipeline

translate = pipeline("{pipeline}", model={model}{trust})
print(translate({example}))
""",
    example="3 March 2025",
    demo=("translate", "{checkpoint}", "{example}"),
    scores=(
        Score("bleu", "bleu", "BLEU"),
        Score("chrf", "chrf", "chrF"),
        Score("exact_match", "exact_match", "exact", is_share=True),
    ),
    pictures=(ATTENTION_FILE,),
    decided=frozenset(
        {"tokenizer_type", "unicode_normalization", "fold_case", "clean_markup", "separate_vocabularies"}
    ),
)
