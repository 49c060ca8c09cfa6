"""The `.env` file of the working folder: read literally, and trusted no more than a stranger's checkout."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

NAME: Final = ".env"
SIZE_LIMIT: Final = 100_000
"""Characters of the file that are read."""


def env_file_values(folder: Path) -> Mapping[str, str]:
    """What the file sets, by variable in upper case, without what is empty; nothing when it cannot be read.

    Values are not interpolated: `${HOME}` stays as it is, so that no file can put a secret of the
    environment into an address.
    """
    try:
        with open(folder / NAME, encoding="utf-8-sig", errors="replace") as file:
            text = file.read(SIZE_LIMIT)
    except OSError:
        return {}
    values = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name.upper(): value for name, value in values.items() if value}
