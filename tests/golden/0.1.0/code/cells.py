"""The registry: what `cell_type` may be. A new cell is one file and one line here."""

from .cells_fused import GruCell, LstmCell, RnnReluCell, RnnTanhCell
from .recurrent_cell import RecurrentCell

CELLS: dict[str, type[RecurrentCell]] = {
    "rnn_tanh": RnnTanhCell,
    "rnn_relu": RnnReluCell,
    "lstm": LstmCell,
    "gru": GruCell,
}
