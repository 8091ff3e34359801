"""Archives of pictures, unpacked once into the cache."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from tuning.data.decoded import check_room
from tuning.data.layouts import split_of
from tuning.data.walk import Walk, holds_files
from tuning.errors import UserError, one_line
from tuning.files.atomic import appearing

LISTS = ("*.csv", "*.tsv")


def unpacked(archive: Path, cache: Path) -> Path:
    """The folder of an archive's pictures in the cache: its own, or the only one in it.

    Args:
        archive: A zip or tar file, packed in any way that Python reads.
        cache: The cache's folder.

    Raises:
        UserError: If it is none, is damaged, wants to write elsewhere, or there is no room.
    """
    try:
        digest = hashlib.sha256()
        with archive.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        folder = cache / "archives" / digest.hexdigest()[:32]
        if not folder.is_dir():
            with appearing(folder) as draft:
                _unpack(archive, draft)
    except OSError as error:
        raise UserError(f"{archive} cannot be unpacked: {error.strerror or error}.") from None
    return _only_folder(folder)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                infos = [each for each in file.infolist() if not each.is_dir()]
                for each in infos:
                    _check_inside(archive, each.filename)
                check_room(folder.parent, sum(each.file_size for each in infos), "unpacked")
                for each in infos:
                    file.extract(each, folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                members = [each for each in tar if each.isfile()]
                check_room(folder.parent, sum(each.size for each in members), "unpacked")
                tar.extractall(folder, members, filter="data")
        else:
            raise UserError(
                f"{archive} is neither a folder of pictures nor an archive of them (.zip, .tar.gz)."
            )
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError) as error:
        # A zip file that wants a password is a RuntimeError.
        raise UserError(f"{archive} cannot be unpacked: {one_line(error)}.") from None


def _check_inside(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"{archive} cannot be unpacked: {name!r} would lie outside of it.")


def _only_folder(folder: Path) -> Path:
    """The folder in which there is more than another folder: archives often have one above."""
    while True:
        folders, files = Walk(folder).entries(folder)
        full = [each for each in folders if holds_files(folder, each)]
        lists = any(next(folder.glob(kind), None) for kind in LISTS)
        if len(full) != 1 or files or lists or split_of(full[0].name):
            return folder
        folder = full[0]
