"""The embedded demo: pictures of cats and dogs, drawn, so that everything can be tried at once.

Cats have pointed ears, whiskers and stripes, dogs hanging ears, a long snout and patches. Both vary
so much, and overlap so far, that a small network learns the task in minutes but not perfectly; the
fur is what features of random weights tell them apart by, at any depth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tuning.files.atomic import appearing

VERSION = 2  # raised when the drawings change
SIZE = 96  # pixels a side
SCALE = 2  # drawn larger and shrunk, for smooth edges
COUNTS = {"train": 120, "validation": 60, "test": 60}  # of each class
CLASSES = ("cats", "dogs")

Colour = tuple[int, int, int]


def make(parent: Path, *, seed: int = 0) -> Path:
    """Draws the demo under `parent`, once.

    Args:
        parent: The folder to put it in, which is made.
        seed: The seed of the drawings; part of the demo's folder name.

    Returns:
        A folder in the article's layout: `train`, `validation` and `test`, with `cats` and `dogs`.
    """
    folder = parent / f"demo-{VERSION}-{seed}"
    if folder.is_dir():
        return folder
    with appearing(folder) as draft:
        for split_number, (split, count) in enumerate(COUNTS.items()):
            for label, name in enumerate(CLASSES):
                (draft / split / name).mkdir(parents=True)
                for index in range(count):
                    generator = np.random.default_rng((seed, split_number, label, index))
                    picture = draw(label == 1, generator)
                    picture.save(draft / split / name / f"{name[:-1]}.{index:04d}.png")
    return folder


def draw(dog: bool, generator: np.random.Generator) -> Image.Image:
    """One animal's head, `SIZE` pixels a side."""
    side = SIZE * SCALE
    between = generator.uniform
    canvas = _background(generator, side)
    fur = _colour(generator, 0.25, 0.65)
    dark = tuple(int(channel * between(0.45, 0.75)) for channel in fur)
    head = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = ImageDraw.Draw(head)
    x, y = side / 2, side / 2
    radius = side * between(0.26, 0.32)
    # How dog-like each feature is: the ranges overlap, so that some animals are hard to tell.
    hanging = np.clip(generator.normal(0.72 if dog else 0.28, 0.17), 0, 1)
    snout = np.clip(generator.normal(0.65 if dog else 0.35, 0.20), 0, 1)
    whiskers = generator.random() < (0.25 if dog else 0.75)
    for way in (-1, 1):
        _ear(pen, x, y, radius, way, float(hanging), dark)
    height = radius * between(0.85, 1.1)
    pen.ellipse(_box(x, y, radius, height), fill=(*fur, 255))
    striped = generator.random() < (0.12 if dog else 0.88)
    (_stripes if striped else _patches)(pen, generator, (x, y, radius, height), dark)
    eye = radius * between(0.10, 0.17)
    for way in (-1, 1):
        pen.ellipse(_box(x + way * 0.4 * radius, y - 0.2 * radius, eye, eye), fill="white")
        pen.ellipse(_box(x + way * 0.4 * radius, y - 0.2 * radius, eye / 2, eye / 2), fill="black")
    length = radius * (0.22 + 0.35 * snout)
    pale = tuple(min(255, int(channel * 1.15) + 12) for channel in fur)
    pen.ellipse(_box(x, y + 0.42 * radius, 0.9 * length, length), fill=(*pale, 255))
    nose = radius * (0.08 + 0.10 * snout)
    pen.ellipse(_box(x, y + 0.28 * radius, 1.2 * nose, nose), fill=(40, 30, 30, 255))
    if whiskers:
        for way in (-1, 1):
            for slope in (-0.15, 0.0, 0.15):
                start = (x + way * 0.3 * radius, y + 0.4 * radius)
                end = (x + way * 1.15 * radius, y + (0.35 + 2 * slope) * radius)
                pen.line([start, end], fill=(30, 30, 30, 255), width=SCALE)
    turn = float(between(-12, 12))
    move = (int(side * between(-0.06, 0.06)), int(side * between(-0.06, 0.06)))
    head = head.rotate(turn, Image.Resampling.BICUBIC)
    canvas.paste(head, move, head)
    if generator.random() < 0.2:
        _occlude(ImageDraw.Draw(canvas), generator, side)
    small = canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    pixels = np.asarray(small, np.float64) * between(0.75, 1.15)
    noise = generator.normal(0, between(2, 12), pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def _ear(
    pen: ImageDraw.ImageDraw,
    x: float,
    y: float,
    radius: float,
    way: int,
    hanging: float,
    colour: tuple[int, ...],
) -> None:
    """From pointed and upright (0) to hanging at the side (1)."""
    root_in = (x + way * 0.25 * radius, y - 0.85 * radius)
    root_out = (x + way * 0.95 * radius, y - 0.35 * radius)
    angle = np.deg2rad(-65 + 135 * hanging)  # from nearly upright to downwards
    reach = radius * (0.95 - 0.2 * hanging)
    middle = (x + way * 0.65 * radius, y - 0.65 * radius)
    tip = (middle[0] + way * reach * np.cos(angle) * 0.8, middle[1] + reach * np.sin(angle))
    pen.polygon([root_in, root_out, tip], fill=(*colour, 255))
    # A hanging ear is a flap with a round end.
    blunt = radius * 0.32 * hanging
    pen.line([middle, tip], fill=(*colour, 255), width=max(1, round(2 * blunt)))
    pen.ellipse(_box(*tip, blunt, blunt), fill=(*colour, 255))


Ellipse = tuple[float, float, float, float]  # centre and half axes


def _stripes(
    pen: ImageDraw.ImageDraw, generator: np.random.Generator, head: Ellipse, colour: tuple[int, ...]
) -> None:
    """A tabby's: lines from side to side of the head."""
    x, y, radius, height = head
    gap = radius * generator.uniform(0.16, 0.24)
    for step in np.arange(-height + gap, height, gap):
        half = radius * float(np.sqrt(max(0.0, 1 - (step / height) ** 2)))
        bend = radius * generator.uniform(-0.06, 0.06)
        points = [(x - half, y + step), (x, y + step + bend), (x + half, y + step)]
        pen.line(points, fill=(*colour, 255), width=round(gap * 0.4))


def _patches(
    pen: ImageDraw.ImageDraw, generator: np.random.Generator, head: Ellipse, colour: tuple[int, ...]
) -> None:
    """A spotted dog's: few and large."""
    x, y, radius, height = head
    for _ in range(int(generator.integers(1, 4))):
        size = radius * generator.uniform(0.2, 0.4)
        angle, reach = generator.uniform(0, 2 * np.pi), generator.uniform(0, 0.6)
        at = (x + reach * radius * np.cos(angle), y + reach * height * np.sin(angle))
        pen.ellipse(_box(*at, size, size * generator.uniform(0.7, 1.0)), fill=(*colour, 255))


def _background(generator: np.random.Generator, side: int) -> Image.Image:
    low, high = (np.array(_colour(generator, 0.6, 1.0), float) for _ in range(2))
    ramp = np.linspace(0, 1, side)[:, None, None]
    pixels = np.broadcast_to(low + (high - low) * ramp, (side, side, 3)).astype(np.uint8)
    canvas = Image.fromarray(pixels)
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(generator.integers(2, 7))):
        x, y = generator.uniform(0, side, 2)
        width, height = generator.uniform(0.04, 0.22, 2) * side
        shape = pen.ellipse if generator.random() < 0.5 else pen.rectangle
        shape(_box(x, y, width, height), fill=_colour(generator, 0.5, 1.0))
    return canvas.filter(ImageFilter.GaussianBlur(float(generator.uniform(1, 6))))


def _occlude(pen: ImageDraw.ImageDraw, generator: np.random.Generator, side: int) -> None:
    """A post in front of the animal."""
    x = float(generator.uniform(0.2, 0.8)) * side
    width = float(generator.uniform(0.03, 0.07)) * side
    pen.rectangle([x - width, 0, x + width, side], fill=_colour(generator, 0.2, 0.6))


def _colour(generator: np.random.Generator, low: float, high: float) -> Colour:
    red, green, blue = (int(255 * level) for level in generator.uniform(low, high, 3))
    return red, green, blue


def _box(x: float, y: float, width: float, height: float) -> list[float]:
    return [x - width, y - height, x + width, y + height]
