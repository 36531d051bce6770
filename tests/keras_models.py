"""Writes models of the real Keras, and what they compute, into a folder: `python keras_models.py FOLDER`.

In a process of its own, as Keras chooses its backend once and for all.
"""

import sys
from pathlib import Path
from typing import Any

V, E, H, T = 11, 6, 8, 7
IDS, LEFT, RIGHT = "ids", "left", "right"  # without padding, and with it


def embedding(k, **options):
    return k.layers.Embedding(V, E, **options)


# Each: `(keras) -> layers`, behind an input of ids.
MODELS: dict[str, Any] = {
    "lm_lstm": lambda k: [embedding(k), k.layers.LSTM(H, return_sequences=True), k.layers.Dense(V, "softmax")],
    "lm_gru": lambda k: [
        embedding(k),
        k.layers.GRU(H, return_sequences=True, dropout=0.3, recurrent_dropout=0.2),
        k.layers.Dropout(0.5),
        k.layers.GRU(5, return_sequences=True),
        k.layers.TimeDistributed(k.layers.Dense(V)),
        k.layers.Activation("softmax"),
    ],
    "lm_window": lambda k: [embedding(k), k.layers.SimpleRNN(H, use_bias=False), k.layers.Dense(V)],
    "tagger": lambda k: [
        embedding(k, mask_zero=True),
        k.layers.Bidirectional(k.layers.LSTM(H, return_sequences=True)),
        k.layers.TimeDistributed(k.layers.Dense(3, activation="softmax")),
    ],
    "tagger_gru": lambda k: [
        embedding(k, mask_zero=True),
        k.layers.GRU(H, return_sequences=True, use_bias=False),
        k.layers.Dense(1, "sigmoid"),
    ],
    # What Keras's own tutorial has.
    "binary": lambda k: [
        embedding(k, mask_zero=True),
        k.layers.Bidirectional(k.layers.LSTM(H, return_sequences=True)),
        k.layers.Bidirectional(k.layers.LSTM(5)),
        k.layers.Dense(4, activation="relu"),
        k.layers.Dropout(0.5),
        k.layers.Dense(1, activation="sigmoid"),
    ],
    "logits": lambda k: [embedding(k), k.layers.SpatialDropout1D(0.2), k.layers.GRU(H), k.layers.Dense(3)],
    "relu": lambda k: [embedding(k), k.layers.SimpleRNN(H, activation="relu"), k.layers.Dense(3, use_bias=False)],
    "several": lambda k: [
        embedding(k, mask_zero=True),
        k.layers.Bidirectional(k.layers.SimpleRNN(H)),
        k.layers.Dense(3, "sigmoid"),
    ],
    "mean": lambda k: [
        embedding(k, mask_zero=True),
        k.layers.Bidirectional(k.layers.GRU(H, return_sequences=True)),
        k.layers.GRU(5, return_sequences=True),
        k.layers.GlobalAveragePooling1D(),
        k.layers.Dense(3, "softmax"),
    ],
    "reset_before": lambda k: [
        embedding(k),
        k.layers.Bidirectional(k.layers.GRU(H, reset_after=False, return_sequences=True)),
        k.layers.GRU(5, reset_after=False),
        k.layers.Dense(3, "softmax"),
    ],
    "max": lambda k: [
        embedding(k),
        k.layers.LSTM(H, return_sequences=True),
        k.layers.GlobalMaxPooling1D(),
        k.layers.Dense(4),
        k.layers.ReLU(),
        k.layers.Dense(3),
        k.layers.Softmax(),
    ],
}
OLDER = ("lm_gru", "tagger", "binary", "functional", "reset_before")  # written in the older HDF5 format, too
MASKED = [name for name in MODELS if name in ("tagger", "tagger_gru", "binary", "several", "mean")]

# Each with what the sentence about it says.
UNSUPPORTED: dict[str, tuple[Any, list[str]]] = {
    "many": (
        lambda k: [
            embedding(k),
            k.layers.Conv1D(E, 3, padding="same", name="conv"),
            k.layers.LayerNormalization(name="norm"),
            k.layers.LSTM(H, activation="relu", recurrent_activation="hard_sigmoid", return_sequences=True, name="one"),
            k.layers.LSTM(H, go_backwards=True, name="two"),
            k.layers.Dense(4, "tanh", name="hidden"),
            k.layers.Dense(3, "softmax"),
        ],
        [
            "6 without",
            "Conv1D 'conv'",
            "LayerNormalization 'norm'",
            "'one': activation='relu'",
            "'one': recurrent_activation='hard_sigmoid'",
            "'two': go_backwards=True",
            "'hidden': activation='tanh'",
        ],
    ),
    "hidden": (
        lambda k: [embedding(k), k.layers.LSTM(H), k.layers.Dense(4, "tanh", name="hidden"), k.layers.Dense(3)],
        ["Dense 'hidden': activation='tanh' in a hidden layer (only 'relu')"],
    ),
    "summed": (
        lambda k: [embedding(k), k.layers.Bidirectional(k.layers.LSTM(H), merge_mode="sum"), k.layers.Dense(3)],
        ["merge_mode='sum' (only 'concat')"],
    ),
    "two_kinds": (
        lambda k: [embedding(k), k.layers.LSTM(H, return_sequences=True), k.layers.GRU(H), k.layers.Dense(3)],
        ["GRU 'gru", "gru after lstm"],
    ),
    "lambda": (
        lambda k: [embedding(k), k.layers.LSTM(H), k.layers.Lambda(lambda x: x, name="code"), k.layers.Dense(3)],
        ["Lambda 'code' (supported here: Embedding"],
    ),
    "one_softmax": (lambda k: [embedding(k), k.layers.LSTM(H), k.layers.Dense(1, "softmax")], ["always 1"]),
    "headless": (lambda k: [embedding(k), k.layers.LSTM(H)], ["no Dense layer"]),
    "no_recurrence": (lambda k: [embedding(k), k.layers.Dense(3)], ["before the recurrence"]),
}


def main(folder: Path) -> None:
    import keras
    import numpy as np

    random = np.random.default_rng(0)
    ids = random.integers(1, V, (3, T))
    inputs = {IDS: ids, RIGHT: ids.copy(), LEFT: ids.copy()}
    inputs[RIGHT][0, 4:] = inputs[LEFT][0, :3] = 0

    def filled(model):
        for weight in model.weights:
            if str(weight.dtype).startswith("float"):
                weight.assign(random.normal(0, 0.5, weight.shape))
        return model

    def save(name, model):
        model.save(folder / f"{name}.keras")
        model.save_weights(folder / f"{name}.weights.h5")
        if name in OLDER:
            model.save(folder / f"{name}.h5")

    for name, layers in MODELS.items():
        model = filled(keras.Sequential([keras.Input((None,), dtype="int32"), *layers(keras)]))
        model.compile("adam", "mse")  # its state is in the file
        save(name, model)
        np.savez(folder / f"{name}.npz", **{kind: model.predict(x, verbose=0) for kind, x in inputs.items()})
    for name, (layers, _) in UNSUPPORTED.items():
        save(name, keras.Sequential([keras.Input((T,), dtype="int32"), *layers(keras)]))
    np.savez(folder / "inputs.npz", **inputs)

    x = keras.Input((None,), dtype="int32", name="words")
    y = keras.layers.LSTM(H, name="reader")(embedding(keras, name="table")(x))
    model = filled(keras.Model(x, keras.layers.Dense(3, "softmax", name="labels")(y)))
    save("functional", model)
    np.savez(folder / "functional.npz", ids=model.predict(ids, verbose=0))
    z = keras.layers.Dense(3)(keras.layers.Concatenate(name="both")([y, keras.layers.LSTM(H)(embedding(keras)(x))]))
    save("branches", keras.Model(x, z))
    save("outputs", keras.Model(x, [y, keras.layers.Dense(3)(y)]))

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.words = embedding(keras)
            self.reader = keras.layers.LSTM(H)
            self.labels = keras.layers.Dense(3)

        def call(self, x):
            return self.labels(self.reader(self.words(x)))

    model = Own()
    model(ids)
    save("own", filled(model))
    np.savez(folder / "own.npz", ids=model.predict(ids, verbose=0))

    model = keras.Sequential([keras.Input((None, V)), keras.layers.LSTM(H), keras.layers.Dense(V, "softmax")])
    save("one_hot", filled(model))
    np.savez(folder / "one_hot.npz", ids=model.predict(np.eye(V)[ids], verbose=0))

    layers = [embedding(keras), keras.layers.GRU(H, return_sequences=True, stateful=True), keras.layers.Dense(V)]
    model = filled(keras.Sequential([keras.Input((None,), batch_size=3, dtype="int32"), *layers]))
    save("stateful", model)
    np.savez(folder / "stateful.npz", first=model(ids[:, :3]).detach(), second=model(ids[:, 3:]).detach())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
