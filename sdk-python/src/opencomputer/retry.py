"""When a request may be sent again."""

from __future__ import annotations

import random

from .errors import ConnectionError, OpenComputerError

# Attempts of one call, the first included.
_max_attempts = 3
_first_pause = 0.1
# When a server asks for a longer wait than this, the caller gets its error instead.
_longest_retry_after = 5.0
# Failures to connect that are often temporary: a server that restarts, a resolver with a short problem.
_passing = {"ECONNREFUSED", "EAI_AGAIN"}


def retry_pause(error: BaseException, attempt: int, *, idempotent: bool, replayable: bool = True) -> float | None:
    """Seconds to wait before the next attempt; None when there must be none.

    Only requests that are idempotent, or that the server has certainly not received, are sent again.
    """
    if attempt >= _max_attempts or not replayable or not isinstance(error, OpenComputerError):
        return None
    if isinstance(error, ConnectionError):
        if not error.request_sent:
            return back_off(attempt) if error.details.get("systemCode") in _passing else None
        return back_off(attempt) if idempotent else None
    if not idempotent or error.status != 503 or error.retry_after is None:
        return None
    return error.retry_after + back_off(attempt) if error.retry_after <= _longest_retry_after else None


def back_off(attempt: int) -> float:
    """Doubles from 0.1 s up to 2 s; half of it is random, so that many clients don't retry at the same time."""
    pause = min(_first_pause * 2 ** min(attempt - 1, 10), 2.0)
    return pause / 2 + random.random() * pause / 2


def may_pass(error: BaseException) -> bool:
    """A server that restarts refuses, breaks off or answers 502 to 504 for a while."""
    if isinstance(error, ConnectionError):
        return True
    if not isinstance(error, OpenComputerError):
        return False
    return error.code == "request_timeout" or error.status in (502, 503, 504)
