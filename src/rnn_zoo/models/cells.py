"""The registry: what `cell_type` may be. A new cell is one file and one line here."""

from .cells_cho_gru import ChoGruCell
from .cells_cifg_lstm import CifgLstmCell
from .cells_fused import GruCell, LstmCell, RnnReluCell, RnnTanhCell
from .cells_grid_lstm import GridLstmCell
from .cells_hgrn import HgrnCell
from .cells_indrnn import IndRnnCell
from .cells_layer_norm_lstm import LayerNormLstmCell
from .cells_lru import LruCell
from .cells_mgu import MguCell
from .cells_min_gru import MinGruCell
from .cells_min_lstm import MinLstmCell
from .cells_mlstm import MlstmCell
from .cells_mogrifier_lstm import MogrifierLstmCell
from .cells_multiplicative_lstm import MultiplicativeLstmCell
from .cells_on_lstm import OnLstmCell
from .cells_peephole_lstm import PeepholeLstmCell
from .cells_qrnn import QrnnCell
from .cells_rg_lru import RgLruCell
from .cells_rhn import RhnCell
from .cells_slstm import SlstmCell
from .cells_sru import SruCell
from .recurrent_cell import RecurrentCell

CELLS: dict[str, type[RecurrentCell]] = {
    "rnn_tanh": RnnTanhCell,
    "rnn_relu": RnnReluCell,
    "lstm": LstmCell,
    "gru": GruCell,
    "peephole_lstm": PeepholeLstmCell,
    "cifg_lstm": CifgLstmCell,
    "layer_norm_lstm": LayerNormLstmCell,
    "multiplicative_lstm": MultiplicativeLstmCell,
    "mogrifier_lstm": MogrifierLstmCell,
    "cho_gru": ChoGruCell,
    "mgu": MguCell,
    "indrnn": IndRnnCell,
    "rhn": RhnCell,
    "on_lstm": OnLstmCell,
    "slstm": SlstmCell,
    "grid_lstm": GridLstmCell,
    "min_gru": MinGruCell,
    "min_lstm": MinLstmCell,
    "qrnn": QrnnCell,
    "sru": SruCell,
    "hgrn": HgrnCell,
    "rg_lru": RgLruCell,
    "lru": LruCell,
    "mlstm": MlstmCell,
}
