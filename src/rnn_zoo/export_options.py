"""What an export may be: known without the libraries that write it."""

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}  # what graphs are written as, and the suffix of each
OPSETS = range(18, 24)  # of ONNX, from torch's own to the newest that is tested here
OPSET = 20
RUNTIME = "onnxruntime"
