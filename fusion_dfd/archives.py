"""ZIP archives of others: small files that unpack to many gigabytes are refused before anything is read."""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib

from fusion_dfd.types import DataError

EXPANSION = 20
"""Most bytes of all entries, as a multiple of the archive's: weights and videos hardly compress."""
HARMLESS = 1 << 28
"""Bytes that may be unpacked whatever the multiple is."""
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OverflowError)
"""What zipfile raises over a damaged archive; ValueError over names that are no text. BZIP2 raises OSError without a
number, and an encrypted entry, or a compression that is not known, RuntimeError."""
MOST_ENTRIES = 1_000_000
"""Entries of an archive that are believed."""


def check(archive: zipfile.ZipFile, path: str) -> None:
    """Raises DataError for an archive whose entries state far more bytes than it has, or that has too many of them.

    What an entry states is a bound: :mod:`zipfile` reads no more of it.
    """
    entries = archive.infolist()
    total, size = sum(entry.file_size for entry in entries), os.path.getsize(path)
    if total > max(HARMLESS, EXPANSION * size) or len(entries) > MOST_ENTRIES:
        raise DataError(
            f"{path}: {size} bytes that unpack to {total} in {len(entries)} entries, do not trust this file; take it "
            "from its source again"
        )
