"""The task `causal_lm`: a language model of one long stream, or of lines."""

from ..task import NEXT_TOKEN, Score, Task

TASK = Task(
    name="causal_lm",
    package=__name__,
    noun="language model",
    head="rnn_zoo.models.modeling_causal_lm:RnnForCausalLM",
    auto_class="AutoModelForCausalLM",
    arguments=".keys:LanguageModelArguments",
    run=".run:CausalLmRun",
    command="generate",
    command_help="write text with a language model, letter by letter",
    scored=NEXT_TOKEN,
    exports={"GenerationStream": ".generation"},
    embedded_data=("python_stdlib", "python_docs"),
    pipeline_tag="text-generation",
    usage="""\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained({model}{trust})
tokenizer = AutoTokenizer.from_pretrained({model}{trust})
ids = tokenizer({example}, return_tensors="pt", add_special_tokens=False)["input_ids"]
print(tokenizer.decode(model.generate(ids, max_new_tokens=200)[0]))
""",
    example="The ",
    demo=("generate", "{checkpoint}", "--prompt={example}", "--max-new-tokens=240", "--temperature=0.5", "--seed=1"),
    scores=(
        Score("loss", "loss", "nats a token"),
        Score("perplexity", "perplexity", "perplexity"),
        Score("bits_per_character", "bits_per_character", "bits a character"),
    ),
    decided=frozenset({"tokenizer_type", "unicode_normalization", "fold_case", "clean_markup"}),
)
