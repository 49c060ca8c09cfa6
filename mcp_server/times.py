"""Times of MLflow, which are UTC milliseconds, as moments."""

from __future__ import annotations

from datetime import datetime, timezone


def utc(milliseconds: int) -> datetime | None:
    """The moment; None where no calendar has it: MLflow accepts any 64-bit number as a time."""
    try:
        return datetime.fromtimestamp(milliseconds / 1_000, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None


def utc_text(milliseconds: int) -> str:
    """Such as `2026-11-20 10:03:12`, or `92233720368547758 ms` where no calendar has it."""
    at = utc(milliseconds)
    return at.strftime("%Y-%m-%d %H:%M:%S") if at else f"{milliseconds} ms"
