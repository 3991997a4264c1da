"""Keeps the garbage collector from walking all accounts again and again. Frees nothing that is in use.

A full collection of tens of thousands of accounts holds up the event loop for a tenth of a second and more. What has
survived one is therefore set aside, and the next ones look only at what was made since.
"""

import gc

_YOUNG, _MIDDLE, _NEVER = 5_000, 20, 1_000_000  # full collections are ours to begin
_TIDIES_A_SWEEP = 21_600  # a tidy each second: every six hours what was set aside is looked at too


class Heap:
    """Made once in a process."""

    def __init__(self) -> None:
        gc.set_threshold(_YOUNG, _MIDDLE, _NEVER)
        self._tidies = 0

    def tidy(self) -> None:
        """Collect what is garbage by now, and set the rest aside."""
        self._tidies += 1
        if self._tidies % _TIDIES_A_SWEEP == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
