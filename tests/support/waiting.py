"""Waiting for processes of one's own."""

import time

PATIENCE = 200
"""Seconds; a machine may be busy."""


def until(ask):
    """The first truthy answer."""
    end = time.monotonic() + PATIENCE
    while not (answer := ask()):
        assert time.monotonic() < end, "never came true"
        time.sleep(0.05)
    return answer
