"""Make a folder of small pictures from the unit sprites of Battle for Wesnoth; see docs/sprites.md.

    python -m tests.benchmarks.sprites --out data/sprites64

The folder holds train, val and test with a folder for each race, as data=folder takes them; no unit is in two splits.
"""

import argparse
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from vqgen.errors import DataError, UserError
from vqgen.runs.atomic import make_once

UNITS = "games/wesnoth/*/data/core/images/units"
INSTALL = "apt-get install wesnoth-1.16-data"
GROUNDS = {"dark": (40, 44, 52), "light": (208, 204, 192)}

# The colours that the game replaces by those of a player's team, and a team's colour in the place of the first of them:
# darker ones go towards black and lighter ones towards white.
MAGENTA = (
    "F49AC1 3F0016 55002A 690039 7B0045 8C0051 9E005D B10069 C30074 D6007F EC008C EE3D96 EF5BA1 F172AC F287B6 F6ADCD "
    "F8C1D9 FAD5E5 FDE9F1"
)
TEAM = (255, 0, 0)

# A unit is called by its first word, and by those of these that come next: the others are of a movement.
GOES_ON = (
    "ancient ant bat beastrider boar cleric drake dwarf elder goblin gryphon hero horse icemonax knight lich lord mage "
    "mounted mudcrawler ogre rat sapling saurian scorpion serpent shaman spider swimmer troll wolf wose wyvern"
)
SPLITS = ("train", "val", "test")
SOLID = 128  # least alpha of what belongs to the body: glows and blurs of swords have less
LEAST = 200  # solid pixels, to be more than a spark or a shadow
CUT = 0.02  # of the sprite, may be lost where it is not made smaller
ALIKE = 12  # root of the mean squared difference of two pictures at half their resolution, of 255
FEWEST = 5  # units of a race that become a class
HELD_OUT = 10  # of so many units of a race, one is for val and one for test


class Sprite(NamedTuple):
    """A drawing, with its race, the unit that it shows, and its name."""

    race: str
    unit: str
    name: str
    image: Image.Image


def sprites(share: Path) -> Iterator[Sprite]:
    """All drawings in the folders of races, sorted by name. Raises DataError where the package is not there."""
    found = sorted(share.glob(UNITS))
    if not found:
        raise DataError(f"no sprites in {share / UNITS}: {INSTALL}, or --share FOLDER/usr/share where it is unpacked")
    for path in sorted(found[-1].glob("*/**/*.png")):
        race = path.relative_to(found[-1]).parts[0]
        with Image.open(path) as image:
            yield Sprite(race, unit_of(path.stem), path.stem, image.convert("RGBA"))


def unit_of(name: str) -> str:
    """The unit of a drawing's name: troll-hero of troll-hero-attack-2, mage of mage+female."""
    first, *words = [word for word in re.split(r"[-+_\d]+", name) if word] or [name]
    following = next((n for n, word in enumerate(words) if word not in GOES_ON.split()), len(words))
    return "-".join([first, *words[:following]])


def in_team(magenta: str) -> tuple[int, int, int]:
    """The colour of the team that is as light or dark as a magenta, seen from the first of them."""
    first, this = (sum(bytes.fromhex(colour)) / 3 for colour in (MAGENTA[:6], magenta))
    if this <= first:
        red, green, blue = (round(channel * this / first) for channel in TEAM)
    else:
        red, green, blue = (round(255 - (255 - channel) * (255 - this) / (255 - first)) for channel in TEAM)
    return red, green, blue


def recoloured(image: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 4"]:
    """A sprite in the colours of the team instead of magenta."""
    result, numbers = image.copy(), image[..., :3] @ np.array([1 << 16, 1 << 8, 1])
    for colour in MAGENTA.split():
        result[numbers == int(colour, 16), :3] = in_team(colour)
    return result


def window(solid: Int[np.ndarray, " n"], side: int) -> int:
    """Where the interval of length `side` begins that has most of the solid, of equals the nearest to the middle."""
    total = np.concatenate([[0], solid.cumsum()])
    inside = total[side:] - total[:-side]
    starts = np.flatnonzero(inside == inside.max())
    return int(starts[np.abs(starts - (len(solid) - side) / 2).argmin()])


def framed(image: Image.Image, size: int, ground: tuple[int, int, int]) -> Image.Image:
    """A sprite on plain ground: its pixels as they are where nearly all fit, otherwise all of it made smaller."""
    extent = max(size, *image.size)
    canvas = Image.new("RGBA", (extent, extent))
    canvas.paste(image, ((extent - image.width) // 2, (extent - image.height) // 2))
    pixels = recoloured(np.asarray(canvas))
    solid = pixels[..., 3] >= SOLID
    left, top, side = window(solid.sum(0), size), window(solid.sum(1), size), size
    if solid[top : top + size, left : left + size].sum() < (1 - CUT) * solid.sum():
        side = max(1 + int(np.ptp(np.flatnonzero(solid.any(axis)))) for axis in (0, 1))
        left, top = window(solid.sum(0), side), window(solid.sum(1), side)
    whole = Image.new("RGBA", canvas.size, ground)
    whole.alpha_composite(Image.fromarray(pixels))
    return whole.convert("RGB").resize((size, size), Image.Resampling.BOX, (left, top, left + side, top + side))


def has_body(sprite: Sprite) -> bool:
    """Whether it is more than an effect that the game lays over another."""
    return bool((np.asarray(sprite.image)[..., 3] >= SOLID).sum() >= LEAST)


def alike(images: list[Image.Image]) -> Int[np.ndarray, "n 2"]:
    """All pairs of images that hardly differ, the smaller index first."""
    x = np.stack([np.asarray(image.reduce(2), np.float64).ravel() for image in images])
    squares = np.square(x).sum(1)  # of integers: exact on any machine
    distances = squares[:, None] + squares - 2 * x @ x.T
    return np.argwhere(np.triu(distances < ALIKE**2 * x.shape[1], 1))


def families(pictures: list[Sprite]) -> dict[str, str]:
    """The family of each unit of a race, called by its first: units of which two pictures are alike are of one."""
    family = {picture.unit: picture.unit for picture in pictures}
    for i, j in alike([picture.image for picture in pictures]):
        first, second = sorted(family[pictures[n].unit] for n in (i, j))
        family = {unit: first if name == second else name for unit, name in family.items()}
    return family


def split_of(sizes: Mapping[str, int]) -> dict[str, str]:
    """The split of each family of a race, by a hash of its name: a tenth, and one at least, is for val and for test.

    Those that are more than a fifth of the race's pictures are for training, where there are enough others.
    """
    fifth = sum(sizes.values()) / 5
    ranked = sorted(sizes, key=lambda name: (sizes[name] > fifth, hashlib.sha256(name.encode()).digest()))
    held_out = max(1, round(len(ranked) / HELD_OUT))
    splits = ["val"] * held_out + ["test"] * held_out + ["train"] * len(ranked)
    return dict(zip(ranked, splits, strict=False))


def write_race(pictures: list[Sprite], folder: Path, written: set[bytes]) -> Counter[str]:
    """Write PNG files, of equal ones the first; how many each split got."""
    family, count = families(pictures), Counter[str]()
    race, splits = pictures[0].race, split_of(Counter(family[picture.unit] for picture in pictures))
    if len(splits) < FEWEST:
        print(f"{race:20} {len(splits):6} left out with {len(pictures)} pictures: fewer than {FEWEST} units")
        return count
    for picture in pictures:
        split, content = splits[family[picture.unit]], picture.image.tobytes()
        if content not in written:
            path = folder / split / race / f"{picture.name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.image.save(path)
            count[split] += 1
        written.add(content)
    print(f"{race:20} {len(splits):6}", *(f"{count[split]:6}" for split in SPLITS))
    return count


def write(all_sprites: Iterable[Sprite], size: int, ground: tuple[int, int, int], folder: Path) -> None:
    """Write a folder for each race in each split; says how many pictures there are."""
    print(f"{'race':20}  units", *(f"{split:>6}" for split in SPLITS))
    total, bodies, written = Counter[str](), filter(has_body, all_sprites), set[bytes]()
    for _, group in groupby(bodies, key=lambda sprite: sprite.race):
        pictures = [sprite._replace(image=framed(sprite.image, size, ground)) for sprite in group]
        total += write_race(pictures, folder, written)
    print(f"{'all':20}       ", *(f"{total[split]:6}" for split in SPLITS))


def side(text: str) -> int:
    """A number of pixels."""
    if not text.isdecimal() or int(text) < 8:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels from 8 on")
    return int(text)


def colour(text: str) -> tuple[int, int, int]:
    """The colour that is called dark, light or R,G,B."""
    if text in GROUNDS:
        return GROUNDS[text]
    if numbers := re.fullmatch(r"(\d+),(\d+),(\d+)", text):
        red, green, blue = (int(number) for number in numbers.groups())
        if max(red, green, blue) <= 255:
            return red, green, blue
    raise argparse.ArgumentTypeError(f"{text!r} is neither {' nor '.join(GROUNDS)} nor R,G,B from 0 to 255")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=side, default=64, help="side of a picture in pixels")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--share", type=Path, default=Path("/usr/share"), help="where the package is")
    parser.add_argument("--ground", type=colour, default="light", help="dark, light or R,G,B: what is behind a sprite")
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"--out {arguments.out} is there already: delete it or name another folder")
    try:
        found = sprites(arguments.share)
        make_once(arguments.out, lambda folder: write(found, arguments.size, arguments.ground, folder))
    except UserError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
