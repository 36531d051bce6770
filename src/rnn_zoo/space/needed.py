"""What the page needs, and that is not always installed."""

import importlib.util

from ..errors import UserError


def require_gradio() -> None:
    """Raises `UserError` where gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError('gradio is not installed, which shows the page: pip install "rnn-zoo[demo]"')
