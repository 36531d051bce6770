"""Models for other runtimes: ONNX graphs for onnxruntime and others, and programs for plain torch.

    from rnn_zoo.export import export

    export(model, tokenizer, Path("exported"), "onnx")

`graphs.py` says what each head computes, with which inputs and outputs; `onnx_graphs.py` and `programs.py` write it.
"""

from ..export_options import FORMATS
from .exporting import Exported, export

__all__ = ["FORMATS", "Exported", "export"]
