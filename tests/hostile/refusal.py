"""What every hostile input must come to: one line, a code of ours, soon.

Time is that of this process: other work on the machine does not count.
"""

import time

import pytest

from jecur.errors import JecurError

SECONDS = 5.0


def refused(call, *arguments):
    """Call, expect an error of ours in one line within the time, and return it."""
    start = time.process_time()
    with pytest.raises(JecurError) as caught:
        call(*arguments)
    assert time.process_time() - start < SECONDS
    error = caught.value
    assert error.code != "internal-error"
    assert "expected" in error.message
    assert "found" in error.message
    assert "\n" not in error.message
    assert len(error.message) < 2000
    return error
