"""Cut a folder of small pictures from the photographs in some of Debian's packages; see docs/photographs.md.

    python -m tests.benchmarks.photographs --size 64 --count 10000 --out data/photographs64

The folder holds train, val and test as data=folder takes them; no photograph is in two of them.
"""

import argparse
import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from vqgen.runs.atomic import make_once

# Photographs only, no drawings: patterns below /usr/share, by package.
PACKAGES = {
    "gcompris-qt-data": [
        f"gcompris-qt/rcc/{name}.rcc"
        for name in (
            "erase",
            "explore_farm_animals",
            "explore_monuments",
            "explore_world_animals",
            "explore_world_music",
        )
    ],
    "lomiri-wallpapers-16.04": [
        f"backgrounds/{name}*.jpg"
        for name in (
            "Bridge",
            "Dragonfly",
            "Picture",
            "Wine",
            "aitzgorri",
            "friends",
            "greentock",
            "life",
            "picosdeeuropa",
            "seeding",
            "sunset",
        )
    ],
    "lomiri-wallpapers-20.04": ["backgrounds/Kleiber*.jpg"],
    "lxqt-themes": [f"lxqt/wallpapers/{name}.jpg" for name in ("after-the-rain", "Butterfly*", "this-is-not-windows")],
    "mate-backgrounds": ["backgrounds/mate/nature/*.jpg"],
    "palapeli-data": ["palapeli/collection/*.jpg"],
    "plasma-workspace-wallpapers": [
        f"wallpapers/{name}/contents/images/2560x1600.jpg"
        for name in (
            "BytheWater",
            "ColdRipple",
            "ColorfulCups",
            "EveningGlow",
            "FallenLeaf",
            "Grey",
            "Kite",
            "OneStandsOut",
            "Path",
            "summer_1am",
        )
    ],
}
DIVISIONS = (1, 2, 3, 5, 8)  # of the shorter side, into rows of squares that do not overlap
DETAIL = 6  # least standard deviation of what an eighth of the resolution does not show, of 255: less is sky or blur
SPLITS = ("val", "test", *["train"] * 8)  # of each ten photographs


class Photograph(NamedTuple):
    """A picture's name, and the bytes of its file."""

    name: str
    content: bytes


class Crop(NamedTuple):
    """A square of a photograph: its column and row where the shorter side is divided."""

    division: int
    column: int
    row: int


def photographs(share: Path) -> Iterator[Photograph]:
    """All photographs of the packages that are there, each package's sorted by name."""
    for package, patterns in PACKAGES.items():
        paths = sorted(path for pattern in patterns for path in share.glob(pattern))
        if not paths:
            print(f"no photographs of {package}: apt-get install {package}")
        for path in paths:
            if path.suffix == ".rcc":
                yield from _embedded(path)
            else:  # of Plasma's wallpapers, the folder has the name
                yield Photograph(path.stem if path.parent.name != "images" else path.parts[-4], path.read_bytes())


def _embedded(path: Path) -> Iterator[Photograph]:
    """The WebP pictures in a resource file of Qt."""
    content, number, start = path.read_bytes(), 0, -1
    while (start := content.find(b"RIFF", start + 1)) >= 0:
        size = int.from_bytes(content[start + 4 : start + 8], "little")
        if content[start + 8 : start + 12] == b"WEBP":
            yield Photograph(f"{path.stem}-{number:02}", content[start : start + 8 + size])
            number += 1


def crops(width: int, height: int, size: int) -> Iterator[Crop]:
    """All squares of at least `size` pixels, the largest first."""
    for division in DIVISIONS:
        side = min(width, height) / division
        if side >= size:
            yield from (Crop(division, x, y) for y in range(int(height / side)) for x in range(int(width / side)))


def cut(image: Image.Image, crop: Crop, size: int) -> Image.Image:
    """The crop at its new size, with anti-aliasing; the squares lie evenly over the photograph."""
    side = min(image.size) / crop.division
    lefts = [(extent - side * int(extent / side)) / 2 for extent in image.size]
    left, top = lefts[0] + side * crop.column, lefts[1] + side * crop.row
    return image.resize((size, size), Image.Resampling.LANCZOS, (left, top, left + side, top + side))


def detail(image: Image.Image) -> float:
    """How much of a grey image is lost where it is an eighth as large."""
    side = image.width
    coarse = image.resize((side // 8, side // 8), Image.Resampling.BOX).resize((side, side), Image.Resampling.BICUBIC)
    return float((np.asarray(image, np.float32) - np.asarray(coarse, np.float32)).std())


def split_of(all_photographs: list[Photograph]) -> dict[str, str]:
    """The split that all crops of a photograph go to, by its name."""
    ranked = sorted((photograph.name for photograph in all_photographs), key=_hash)
    return {name: SPLITS[rank % len(SPLITS)] for rank, name in enumerate(ranked)}


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def chosen(all_photographs: list[Photograph], size: int, count: int) -> dict[int, list[Crop]]:
    """Which crops to take of each photograph: large ones before small ones, otherwise by a hash."""
    ranked = []
    for number, photograph in enumerate(all_photographs):
        image = Image.open(BytesIO(photograph.content)).convert("L")
        for crop in crops(*image.size, size):
            if detail(cut(image, crop, 64)) >= DETAIL:
                ranked.append((crop.division, _hash(f"{photograph.name}{crop}"), number, crop))
    result: dict[int, list[Crop]] = {}
    for *_, number, crop in sorted(ranked)[:count]:
        result.setdefault(number, []).append(crop)
    print(f"{len(ranked)} squares of at least {size} pixels with detail, in {len(all_photographs)} photographs")
    return result


def write(all_photographs: list[Photograph], size: int, count: int, folder: Path) -> None:
    """Cut, and write PNG files; says how many each split got."""
    total, splits = dict.fromkeys(SPLITS, 0), split_of(all_photographs)
    for number, taken in chosen(all_photographs, size, count).items():
        photograph = all_photographs[number]
        split = splits[photograph.name]
        (folder / split).mkdir(exist_ok=True)
        image = Image.open(BytesIO(photograph.content)).convert("RGB")
        for crop in taken:
            name = f"{photograph.name}-{crop.division}-{crop.column:02}-{crop.row:02}.png"
            cut(image, crop, size).save(folder / split / name)
        total[split] += len(taken)
    print(", ".join(f"{n} of {split}" for split, n in total.items()))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, help="side of a crop in pixels")
    parser.add_argument("--count", type=int, default=10_000, help="crops in all")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--share", type=Path, default=Path("/usr/share"), help="where the packages are")
    arguments = parser.parse_args()
    found = list(photographs(arguments.share))
    make_once(arguments.out, lambda folder: write(found, arguments.size, arguments.count, folder))


if __name__ == "__main__":
    main()
