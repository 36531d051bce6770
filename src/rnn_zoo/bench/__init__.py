"""How fast things are on this machine: pairs of ways to do one thing, timed in turn in one process.

A suite is a file with a function `comparisons(sizes) -> iterator of Comparison`, and a line in `SUITES`.
"""

SUITES = {
    "train": "forward and backward pass of each cell, against torch's modules",
    "pad": "sentences of different lengths, both directions, against packed sequences",
    "decode": "one token at a time, against a loop around torch.nn.LSTM and onnxruntime",
    "scan": "the linear recurrence of scanned cells, against its plain loop",
    "loss": "the loss over a large vocabulary, against the scores of all words",
    "crf": "sums and best paths of a CRF, against plain loops",
}
