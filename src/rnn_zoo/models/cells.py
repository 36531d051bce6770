"""The registry: what `cell_type` may be. A new cell is one file and one line here."""

from .cells_fused import GruCell, LstmCell, RnnReluCell, RnnTanhCell
from .cells_min_gru import MinGruCell
from .cells_min_lstm import MinLstmCell
from .recurrent_cell import RecurrentCell

CELLS: dict[str, type[RecurrentCell]] = {
    "rnn_tanh": RnnTanhCell,
    "rnn_relu": RnnReluCell,
    "lstm": LstmCell,
    "gru": GruCell,
    "min_gru": MinGruCell,
    "min_lstm": MinLstmCell,
}
