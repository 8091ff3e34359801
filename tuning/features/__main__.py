"""Shows and tends the feature cache: `python -m tuning.features list|verify|prune`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tuning.data.decoded import verify
from tuning.errors import UserError
from tuning.features import maintenance
from tuning.features.maintenance import Kept
from tuning.files.shared_folder import SharedFolder, default_cache
from tuning.options import kinds
from tuning.options.command_line import argument_type
from tuning.process.commands import Parser, exit_code
from tuning.wording import count, duration, size


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns 0, 1 where damage was found, 2 for a mistake."""
    parser = Parser(
        prog="python -m tuning.features", description="Shows and tends the feature cache."
    )
    parser.add_argument(
        "--cache",
        type=argument_type(kinds.LOCATION),
        default=default_cache(),
        metavar="DIR",
        help="the cache's folder; of one in an object store, the copies on this machine",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="what is there, the least recently used first")
    actions.add_parser(
        "verify",
        help="compare features and decoded pictures with checksums; damaged ones are removed",
    )
    prune = actions.add_parser("prune", help="remove the least recently used features")
    prune.add_argument(
        "--limit",
        type=argument_type(kinds.SIZE),
        required=True,
        metavar="SIZE",
        help="20GB, 500MB, 0",
    )
    return exit_code(lambda: _run(parser.parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    folder = (SharedFolder(options.cache) / "features").here
    pictures = (SharedFolder(options.cache) / "pictures").here
    if not folder.is_dir() and not (options.action == "verify" and pictures.is_dir()):
        raise UserError(f"No feature cache in {options.cache} (looked for {folder}).")
    if options.action == "list":
        return _list(folder)
    if options.action == "verify":
        return _verify(folder, pictures)
    return _prune(folder, options.limit)


def _list(folder: Path) -> int:
    found = maintenance.segments(folder)
    for each in found:
        age = duration(max(0.0, time.time() - each.used))
        print(f"{each.name:19}  {size(each.bytes):>10}  used {age:>12} ago  {each.label}")
    print(_sum(found))
    return 0


def _verify(folder: Path, pictures: Path) -> int:
    damaged = sound = 0
    for each, fault in maintenance.verify(folder):
        if fault:
            damaged += 1
        print(f"{each.name}  {each.label}: {'removed, ' + fault if fault else 'whole'}")
    for entry, fault in verify(pictures):
        if fault:
            damaged += 1
            print(f"{entry.name[:12]}  decoded pictures: removed, {fault}")
        else:
            sound += 1
    print(f"decoded pictures: {count(sound, 'set')} as written")
    return 1 if damaged else 0


def _prune(folder: Path, limit: int) -> int:
    removed = maintenance.prune(folder, limit)
    print(f"removed {_sum(removed)}; left {_sum(maintenance.segments(folder))}")
    return 0


def _sum(segments: list[Kept]) -> str:
    return f"{count(len(segments), 'segment')}, {size(sum(each.bytes for each in segments))}"


if __name__ == "__main__":
    sys.exit(main())
