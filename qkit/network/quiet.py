"""Silence for what libraries say unasked."""

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator

_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide warnings, log messages, and what C++ code writes to standard error past Python; exceptions pass.

    All of these belong to the whole process, so of several threads that want silence one waits for the other.
    """
    with _ONE_AT_A_TIME:
        sys.stderr.flush()
        saved, logged = os.dup(2), logging.root.manager.disable
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        logging.disable(logging.WARNING)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            logging.disable(logged)
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
