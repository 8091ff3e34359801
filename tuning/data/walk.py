"""What lies in a folder of pictures, and what of it is left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tuning.wording import count

NAMED = 5  # of links and folders, in one line
# What systems and programs leave beside pictures.
JUNK_FOLDERS = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information"}
JUNK_FOLDERS |= {"lost+found", "thumbnails", "_thumbnails", "__pycache__"}
JUNK_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "readme", "license", "licence"}
# No picture's; whatever else a file is called, it is tried.
OTHER_SUFFIXES = {
    *(
        ".txt",
        ".json",
        ".jsonl",
        ".xml",
        ".csv",
        ".tsv",
        ".md",
        ".rst",
        ".html",
        ".htm",
        ".pdf",
        ".log",
    ),
    *(".ini", ".db", ".yaml", ".yml", ".toml", ".cfg", ".lnk", ".url"),
    *(".xmp", ".aae", ".thm", ".mp4", ".mov", ".avi", ".mkv", ".wav", ".mp3"),
    *(".py", ".ipynb", ".sh"),
    *(".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"),
    *(".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx"),
    *(".npy", ".npz", ".mat", ".pkl", ".h5", ".parquet", ".sqlite"),
    *(".md5", ".sha256"),
}


class Walk:
    """Goes through folders, follows links, and remembers what it left out.

    Names that begin with a dot are hidden, here as everywhere.

    Args:
        root: The folder that it goes through.

    Attributes:
        closed: Folders that could not be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[Path, tuple[list[Path], list[Path]]] = {}
        self._others: Counter[str] = Counter()  # files that are no pictures, by what they are
        self._dangling: list[Path] = []
        self._loops: list[Path] = []
        self.closed: list[Path] = []

    def entries(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Folders and files in a folder, sorted by name; pictures, perhaps."""
        if folder in self._seen:
            return self._seen[folder]
        folders, files = self._seen[folder] = [], []
        for path in self._listed(folder):
            name, suffix = path.name.casefold(), path.suffix.casefold()
            if path.is_dir():
                if name in JUNK_FOLDERS:
                    self.leave_out(
                        sum(len(names) for _, _, names in os.walk(path)), f"in {path.name}"
                    )
                elif path.is_symlink() and _leads_back(path):
                    self._loops.append(path)
                else:
                    folders.append(path)
            elif path.is_symlink() and not path.exists():
                self._dangling.append(path)
            elif name in JUNK_FILES:
                self._others[path.name] += 1
            elif suffix in OTHER_SUFFIXES:
                self._others[suffix] += 1
            elif path.is_file():
                files.append(path)
            else:
                self._others["neither file nor folder"] += 1
        return folders, files

    def files(self, folder: Path) -> Iterator[Path]:
        """All files below a folder."""
        folders, files = self.entries(folder)
        yield from files
        for each in folders:
            yield from self.files(each)

    def leave_out(self, number: int, what: str) -> None:
        """Counts files that are left out."""
        self._others += Counter({what: number})

    def notes(self) -> list[str]:
        """What was left out, a line a kind."""
        lines = []
        if self._others:
            number = sum(self._others.values())
            in_order = sorted(self._others.items(), key=lambda each: (-each[1], each[0]))
            kinds = ", ".join(f"{found} {what}" for what, found in in_order)
            lines.append(f"left out {count(number, 'file')} beside the pictures: {kinds}")
        for paths, one, many in (
            (self._dangling, "link that leads nowhere", "links that lead nowhere"),
            (self._loops, "link back to a folder above it", "links back to folders above them"),
            (self.closed, "folder that cannot be read", "folders that cannot be read"),
        ):
            if paths:
                named = ", ".join(self._name(each) for each in paths[:NAMED])
                more = ", …" if len(paths) > NAMED else ""
                lines.append(f"left out {count(len(paths), one, many)}: {named}{more}")
        return lines

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _listed(self, folder: Path) -> list[Path]:
        try:
            found = [each for each in folder.iterdir() if not each.name.startswith(".")]
        except OSError:
            self.closed.append(folder)
            return []
        return sorted(found)


def holds_files(root: Path, folder: Path) -> bool:
    """Whether a folder has anything that may be a picture, however deep."""
    return next(Walk(root).files(folder), None) is not None


def _leads_back(link: Path) -> bool:
    """Whether a link to a folder leads to one that it was come by."""
    above = {each.resolve() for each in link.parents} | {*link.parent.resolve().parents}
    return link.resolve() in above
