"""The registry: what `cell_type` may be. A new cell is one file and one line here."""

from .cells_fused import GruCell, LstmCell, RnnReluCell, RnnTanhCell
from .cells_hgrn import HgrnCell
from .cells_lru import LruCell
from .cells_min_gru import MinGruCell
from .cells_min_lstm import MinLstmCell
from .cells_mlstm import MlstmCell
from .cells_qrnn import QrnnCell
from .cells_rg_lru import RgLruCell
from .cells_sru import SruCell
from .recurrent_cell import RecurrentCell

CELLS: dict[str, type[RecurrentCell]] = {
    "rnn_tanh": RnnTanhCell,
    "rnn_relu": RnnReluCell,
    "lstm": LstmCell,
    "gru": GruCell,
    "min_gru": MinGruCell,
    "min_lstm": MinLstmCell,
    "qrnn": QrnnCell,
    "sru": SruCell,
    "hgrn": HgrnCell,
    "rg_lru": RgLruCell,
    "lru": LruCell,
    "mlstm": MlstmCell,
}
