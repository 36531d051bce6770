"""The page that stands beside an export: what goes in, what comes out, and a first call."""

from ..export_options import FORMATS
from ..tasks.graph import BATCH, LENGTH, REAL, SOURCE, Graph

PAGE = """# {name} for {runtime}

Written by `rnn-zoo export` {version} from {checkpoint}: an `{architecture}` with {weights} weights.{difference}

{graphs}
Axes with a name are free, each from 1. {state}`export.json` has all of this for programs. `tokenizer.json` is read by
`tokenizers`, the whole folder by `transformers.AutoTokenizer`.

```python
{code}```
"""

STATE = "A text begins with a state of zeros; what comes out as `present.…` goes in as `past.…` with what follows. "
FIRST_STATE = "The encoder gives the decoder's first state; `present.…` goes in as `past.…` with the next token. "

ONNX = """{imports}import onnxruntime
from transformers import AutoTokenizer

session = onnxruntime.InferenceSession("{file}")
text = AutoTokenizer.from_pretrained("."{trust})(["a text"], return_tensors="np")
inputs = {{name: text[name] for name in ({given})}}
{zeros}
outputs = dict(zip((o.name for o in session.get_outputs()), session.run(None, inputs)))
"""

TORCH = """import torch

model = torch.export.load("{file}").module()
outputs = model({arguments})  # a tuple
"""


def usage(name: str, graphs: list[Graph], metadata: dict[str, str], difference: float | None, code: bool) -> str:
    """The page, in Markdown.

    Args:
        name: of the checkpoint.
        graphs: what was written.
        metadata: of `exporting.metadata_of`.
        difference: from torch, as measured.
        code: whether the tokenizer's class is code of the folder.
    """
    onnx = "opset" in metadata
    suffix = FORMATS["onnx" if onnx else "torch"]
    names = {one.name for graph in graphs for one in graph.inputs}
    state = FIRST_STATE if len(graphs) > 1 else STATE if any(one.startswith("past.") for one in names) else ""
    measured = (
        "" if difference is None else f" The greatest difference from torch on random batches was {difference:.1e}."
    )
    commit = f" (commit {metadata['commit']})" if "commit" in metadata else ""
    return PAGE.format(
        name=name,
        runtime=f"ONNX (opset {metadata['opset']})" if onnx else "torch.export",
        version=metadata["rnn_zoo"],
        checkpoint=f"`{metadata.get('checkpoint', name)}`{commit}",
        architecture=metadata["architecture"],
        weights=metadata["weights"],
        difference=measured,
        graphs="\n".join(table(graph, suffix) for graph in graphs),
        state=state,
        code=onnx_code(graphs[0], suffix, code) if onnx else torch_code(graphs[0], suffix),
    )


def table(graph: Graph, suffix: str) -> str:
    """One graph's inputs and outputs."""
    rows = [f"`{graph.name}{suffix}`", "", "| | name | |", "|---|---|---|"]
    for one in graph.inputs:
        shape = ", ".join(map(str, one.shape))
        rows.append(f"| in | `{one.name}` | {'float32' if one.kind == REAL else 'int64'} `({shape})`: {one.meaning} |")
    rows += [f"| out | `{one.name}` | {one.meaning} |" for one in graph.outputs]
    return "\n".join([*rows, ""])


def onnx_code(graph: Graph, suffix: str, code: bool) -> str:
    """A first call in onnxruntime; `code`: see `usage`."""
    given = ", ".join(f'"{one.name}"' for one in graph.inputs if one.kind != REAL)
    zeros = [
        f'inputs["{one.name}"] = np.zeros({(1, *one.shape[1:])}, np.float32)'
        for one in graph.inputs
        if one.kind == REAL
    ]
    return ONNX.format(
        imports="import numpy as np\n" if zeros else "",
        trust=", trust_remote_code=True" if code else "",
        file=graph.name + suffix,
        given=given,
        zeros="\n".join(zeros),
    )


def torch_code(graph: Graph, suffix: str) -> str:
    """A first call in torch."""
    sizes = {BATCH: 1, LENGTH: 5, SOURCE: 5}
    arguments = [
        f"torch.zeros({[sizes[axis] if isinstance(axis, str) else axis for axis in one.shape]})"
        if one.kind == REAL
        else f"torch.ones({[sizes[axis] if isinstance(axis, str) else axis for axis in one.shape]}, dtype=torch.long)"
        for one in graph.inputs
    ]
    return TORCH.format(file=graph.name + suffix, arguments=", ".join(arguments))
