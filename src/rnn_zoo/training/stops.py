"""How a training stops before its end: all processes after the same step, with a checkpoint to go on from."""

import os
import signal
import sys
import threading
import time

from ..data.all_cores import SIGNALS
from ..launchers import is_told
from .parts import Part

TIME_IS_UP = 1000  # in place of the number of a signal
AFTER_TIME = 124  # exit status, as that of `timeout`


class StopEarly(Part):
    """Ctrl-C, SIGTERM, a closed terminal (SIGHUP), a queue's warning (SIGUSR1) or a time limit, once: finish the step,
    save a resumable checkpoint, stop. A second signal, or one outside the steps: stop at once.

    A signal may reach one process only, or each in another step: with every step the processes tell each other, and
    all stop after the same one.

    Args:
        max_seconds: since this was made; no limit if `None`.

    Attributes:
        asked: the number of the last signal that this process got; 0 if none.
        reason: the number of the signal for which the training stops, or `TIME_IS_UP`; 0 while it goes on.
    """

    def __init__(self, max_seconds: float | None = None):
        self.max_seconds = max_seconds
        self.reason = 0
        self._began = time.monotonic()
        self._in_steps = False
        self.asked = 0
        self._before: dict = {}

    def __enter__(self):
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():  # signals can be handled in no other
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number, frame):
        if os.getpid() != self._process:  # one that prepares or loads data, and that this process ends
            if number != signal.SIGINT:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        again, self.asked = self.asked != 0, number
        if again or not self._in_steps:
            self.reason = self.reason or number  # a launcher ends the others when the first has stopped
            raise KeyboardInterrupt
        sentence = "stopping after this step; the checkpoint is saved first (Ctrl-C again: at once)"
        if not is_told(sentence):
            print(f"\n{sentence}", file=sys.stderr)

    @property
    def status(self) -> int:
        """The exit status that tells the reason."""
        return AFTER_TIME if self.reason == TIME_IS_UP else 128 + self.reason

    @property
    def why(self) -> str:
        """The reason in words, behind "stopped at step N"; nothing for a signal, whose sender knows it."""
        return f" after {self.max_seconds:g} s (max_train_seconds)" if self.reason == TIME_IS_UP else ""

    # ---- asked by the trainer in each step ----
    def asks_to_stop(self) -> int:
        """What this process has been told: the number of a signal, `TIME_IS_UP`, or 0."""
        if self.asked:
            return self.asked
        is_up = self.max_seconds is not None and time.monotonic() - self._began >= self.max_seconds
        return TIME_IS_UP if is_up else 0

    def on_train_begin(self, args, state, control, **kwargs):
        self._in_steps = True

    def on_step_end(self, args, state, control, **kwargs):
        # Alone a process need not wait until the next step has told what it knows.
        self.reason = self.trainer.agreed_stop if args.world_size > 1 else self.asks_to_stop()
        if self.reason:
            control.should_save = True
            control.should_evaluate = False  # it would keep the user waiting; it is done when the run goes on
            control.should_training_stop = True
        return control

    def on_epoch_end(self, args, state, control, **kwargs):
        if self.reason:  # saved by the step
            control.should_save = control.should_evaluate = False
        return control

    def on_train_end(self, args, state, control, **kwargs):
        self._in_steps = False
