"""What a file is, by its first bytes: formats that need a package, and text that is in the way."""

from __future__ import annotations

import importlib.util
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import PngImagePlugin, TiffImagePlugin, features

PNG = b"\x89PNG\r\n\x1a\n"
TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")  # chunks that no pixel depends on
LIMIT = PngImagePlugin.MAX_TEXT_CHUNK  # bytes of one, unpacked
HARMLESS = LIMIT // 1032  # packed: zlib packs no better than that
HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"heif"}
AVIF_BRANDS = {b"avif", b"avis"}
# The package, and how to get it, of formats that are not always read.
PACKAGES = {
    "HEIC": ("pillow-heif", "pip install pillow-heif, or the extra [heic]"),
    "AVIF": ("pillow", "a Pillow (11.3 or later) that was built with AVIF"),
}


@contextmanager
def stream(path: Path | BinaryIO) -> Iterator[BinaryIO]:
    """The file from its start; one that was open stands there again afterwards."""
    if isinstance(path, (str, Path)):
        with open(path, "rb") as file:
            yield file
        return
    path.seek(0)
    try:
        yield path
    finally:
        path.seek(0)


def kind(path: Path | BinaryIO) -> str | None:
    """PNG, TIFF, HEIC or AVIF; None for another, or a file that cannot be opened."""
    try:
        with stream(path) as file:
            start = file.read(64)
    except OSError:
        return None
    if start.startswith(PNG):
        return "PNG"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if start[4:8] == b"ftyp":
        (length,) = struct.unpack(">I", start[:4])
        brands = {start[8:12], *(start[at : at + 4] for at in range(16, min(length, 64), 4))}
        if brands & AVIF_BRANDS:
            return "AVIF"  # which has a brand of HEIF's as well
        if brands & HEIC_BRANDS:
            return "HEIC"
    return None


def can_read(kind: str) -> bool:
    """Whether pictures of this kind are read here."""
    return kind not in PACKAGES or is_installed(PACKAGES[kind][0])


def is_installed(package: str) -> bool:
    """Whether a package of `PACKAGES` is here, and can do what it is named for."""
    if package == "pillow-heif":
        return importlib.util.find_spec("pillow_heif") is not None
    return bool(features.check("avif"))


def without_large_text(path: Path | BinaryIO) -> bytes | None:
    """A PNG without the text and colour profile that Pillow refuses; None where there is none.

    Pillow's limits are the module's, and other threads and the caller's code read PNG too.
    """
    if kind(path) != "PNG":
        return None
    with stream(path) as file:
        chunks = list(_png_chunks(file))
        if all(size <= HARMLESS for name, _, size in chunks if name in TEXT):
            return None
        kept = [PNG]
        for name, start, size in chunks:
            file.seek(start)
            chunk = file.read(size + 12)
            if name not in TEXT or not _is_refused(name, chunk[8:-4]):
                kept.append(chunk)
    return b"".join(kept) if len(kept) <= len(chunks) else None


def _is_refused(name: bytes, body: bytes) -> bool:
    """Whether a chunk of text is too large when it is unpacked, or cannot be."""
    try:
        _, packed = body.split(b"\0", 1)
        if name == b"tEXt" or (name == b"iTXt" and not packed[0]):
            return len(body) > LIMIT
        # Before the packed bytes iTXt has a flag, a method and two words, others a method.
        packed = packed[2:].split(b"\0", 2)[2] if name == b"iTXt" else packed[1:]
        unpacking = zlib.decompressobj()
        unpacking.decompress(packed, LIMIT)
        return bool(unpacking.unconsumed_tail)
    except (ValueError, IndexError, zlib.error):
        return True


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name, place, and size without frame, of each chunk as far as the file goes."""
    place = len(PNG)
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        size, name = struct.unpack(">I4s", head)
        yield name, place, size
        place += size + 12


class TiffLayout(NamedTuple):
    """What a TIFF's first picture is made of.

    Attributes:
        bands: The number of values a pixel.
        bits: The bits of the first of them.
        numbers: What comes before the bits in words: `signed `, `floating-point ` or nothing.
    """

    bands: int
    bits: int
    numbers: str

    def __str__(self) -> str:
        words = "band" if self.bands == 1 else "bands"
        return f"{self.bands} {words} of {self.numbers}{self.bits}-bit values"


def tiff_layout(path: Path | BinaryIO) -> TiffLayout | None:
    """The layout of a TIFF's first picture; None where it cannot be told."""
    try:
        with stream(path) as file:
            head = file.read(8)
            head += file.read(8) if 43 in head[2:4] else b""
            tags = TiffImagePlugin.ImageFileDirectory_v2(head)
            file.seek(tags.next)
            tags.load(file)
        bands = int(tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1))
        bits = int(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))[0])
        form = tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))
    except Exception:
        # A broken directory has as many ways to fail as the file has bytes.
        return None
    return TiffLayout(bands, bits, {2: "signed ", 3: "floating-point "}.get(form[0], ""))
