"""How a SQLite file of the daemon is opened by others: it is never changed, nor is a file made beside it.  So root may read what belongs
to the relay's user.

Source: SQLite, "Write-Ahead Logging" (readers beside a writer; read-only databases).
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path


def address_of(path: str) -> str | None:
    """The address to open, None where there is no file yet.

    @raise sqlite3.OperationalError: nobody may look whether there is one, which is not the same.
    """
    try:
        os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise sqlite3.OperationalError(f"{path}: {error.strerror}") from error
    # Without a log there is no writer's work to see, and a reader that takes the file as it is needs no files of its own.
    mode = "mode=ro" if os.path.exists(f"{path}-wal") else "mode=ro&immutable=1"
    return f"{Path(path).absolute().as_uri()}?{mode}"
