"""Draws `docs/vgg16.svg`, VGG16's structure with every place where it may be cut.

Run it from the project's root: `python -m docs.draw_vgg16`.
"""

from __future__ import annotations

import math
from pathlib import Path

from models import vgg16

IMAGE_SIZE = 150
HEIGHT, BASE = 300, 215  # of the drawing; where the boxes stand
# Okabe and Ito's colours, which colour-blind readers can tell apart.
FILLS = {"picture": "#999999", "conv": "#0072B2", "pool": "#E69F00"}


def draw() -> str:
    """The figure as SVG; a box is as high as its feature map and as wide as its channels."""
    boxes, x = [], 24.0
    kinds = {layer.name: layer.kind for layer in vgg16.LAYERS}
    for name in vgg16.FRONTIERS:
        side, _, channels = vgg16.output_shape(name, IMAGE_SIZE)
        kind = kinds.get(name, "picture")
        height = 12 + side
        width = 7 if kind == "pool" else 8 + 5 * math.log2(channels)
        boxes.append(
            f'<rect x="{x:.0f}" y="{BASE - height}" width="{width:.0f}" height="{height}" rx="2" '
            f'fill="{FILLS[kind]}"/>'
        )
        middle, right = x + width / 2, x + width
        if kind != "conv":
            boxes.append(_text(right, BASE - height - 6, f"{side}²", "end", 11))
        boxes.append(
            f'<text transform="translate({middle - 3:.0f} {BASE + 8}) rotate(90)" '
            f'font-size="10">{name.replace("_", " ")}</text>'
        )
        cut = vgg16.unfrozen_at(name)
        if cut is not None:
            mark = right + 6
            boxes.append(
                f'<path d="M{mark:.0f} {BASE - 172} V{BASE}" stroke="#D55E00" stroke-width="1.2" '
                'stroke-dasharray="3 3"/>'
            )
            boxes.append(_text(mark, BASE - 178, str(cut), "middle", 12, "#D55E00"))
        x = right + 12
    width = x + 120
    boxes.append(
        f'<rect x="{x + 4:.0f}" y="{BASE - 60}" width="84" height="60" rx="4" fill="#009E73"/>'
    )
    boxes.append(_text(x + 46, BASE - 26, "head", "middle", 13, "#fff"))
    boxes.append(
        _text(
            16,
            20,
            "Dashed: where the frozen prefix may end, and how many conv layers are then unfrozen",
            "start",
            13,
            "#D55E00",
        )
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {HEIGHT}" '
        'font-family="system-ui, sans-serif" fill="#777">\n'
        + "<desc>VGG16: thirteen 3x3 convolutions (blue) and five 2x2 poolings (orange)</desc>\n"
        + "\n".join(boxes)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, anchor: str, size: int, fill: str = "#777") -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{fill}">{text}</text>'
    )


if __name__ == "__main__":
    Path(__file__).with_name("vgg16.svg").write_text(draw())
