"""`python -m rnn_zoo`, for `accelerate launch -m rnn_zoo train RECIPE`."""

import sys

from rnn_zoo_cli import main

sys.exit(main())
