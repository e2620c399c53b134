"""The script that makes a folder of small pictures from a game's sprites."""

import hashlib
import sys

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks import sprites
from tests.benchmarks.sprites import alike, families, framed, in_team, split_of, unit_of, window
from vqgen.data.files.layout import find_layout

GROUND = (10, 20, 30)
FRAMES = ("", "-attack-1", "-attack-2", "-defend", "+female", "+female-die2")


def body(seed, side=40, canvas=72, at=(16, 20)):
    """Noise in a square of a transparent canvas; `at` is its row and column."""
    pixels = np.zeros((canvas, canvas, 4), np.uint8)
    pixels[at[0] : at[0] + side, at[1] : at[1] + side, :3] = np.random.default_rng(seed).integers(
        0, 200, (side, side, 3)
    )
    pixels[at[0] : at[0] + side, at[1] : at[1] + side, 3] = 255
    return Image.fromarray(pixels)


def package(share, races):
    """The package's folders, with frames of made units."""
    units = share / "games/wesnoth/1.16/data/core/images/units"
    for race, names in races.items():
        (units / race).mkdir(parents=True)
        for name in names:
            for n, frame in enumerate(FRAMES):
                seed = int.from_bytes(hashlib.sha256(f"{race}{name}{n}".encode()).digest()[:4])
                body(seed).save(units / race / f"{name}{frame}.png")
    return units


def made(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["sprites", *map(str, words)])
    sprites.main()


@pytest.fixture
def share(tmp_path):
    races = {"orcs": [*"abcdefghij"], "elves": [*"klmnopqrstuvwxyzabcd"], "ogres": ["ogre", "young-ogre"]}
    package(tmp_path / "share", races)
    return tmp_path / "share"


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("grunt", "grunt"),
        ("grunt-attack-12", "grunt"),
        ("duelist-die3", "duelist"),
        ("white-mage+female-magic-2", "white-mage"),
        ("soulless-wolf-attack-n-1", "soulless-wolf"),
        ("burner_flame10", "burner"),
        ("master-at-arms-melee", "master"),
    ],
)
def test_the_unit_of_a_frame_is_its_name_before_the_movement(name, unit):
    assert unit_of(name) == unit


def test_frames_of_a_unit_are_in_one_split_and_a_tenth_of_the_units_is_in_each_of_two(
    share, tmp_path, monkeypatch, capsys
):
    made(monkeypatch, "--share", share, "--out", tmp_path / "out")
    found = {split: sorted((tmp_path / "out" / split).glob("*/*.png")) for split in ("train", "val", "test")}
    units = {split: {(path.parent.name, unit_of(path.stem)) for path in paths} for split, paths in found.items()}
    assert {split: len(names) for split, names in units.items()} == {"train": 24, "val": 3, "test": 3}
    assert {split: len(paths) for split, paths in found.items()} == {"train": 144, "val": 18, "test": 18}
    assert not units["train"] & units["val"]
    assert not (units["train"] | units["val"]) & units["test"]
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["orcs", "10", "48", "6", "6"] in printed
    assert ["all", "144", "18", "18"] in printed
    layout = find_layout(
        [str(path.relative_to(tmp_path / "out")) for paths in found.values() for path in paths], "auto", tmp_path
    )
    assert set(layout.splits) == {"train", "val", "test"}


def test_a_race_of_few_units_is_left_out_with_a_word(share, tmp_path, monkeypatch, capsys):
    made(monkeypatch, "--share", share, "--out", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/train").iterdir()) == ["elves", "orcs"]
    assert "ogres                     2 left out with 12 pictures: fewer than 5 units" in capsys.readouterr().out


def test_the_same_package_gives_the_same_files(share, tmp_path, monkeypatch):
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        made(monkeypatch, "--share", share, "--out", folder)
    one, other = ({str(p.relative_to(f)): p.read_bytes() for p in f.rglob("*.png")} for f in folders)
    assert one == other


def test_effects_and_repeats_are_left_out(share, tmp_path, monkeypatch):
    orcs = share / "games/wesnoth/1.16/data/core/images/units/orcs"
    body(0, side=14).save(orcs / "a-glow.png")
    Image.open(orcs / "b-defend.png").save(orcs / "b-idle.png")
    made(monkeypatch, "--share", share, "--out", tmp_path / "out")
    written = {path.stem for path in (tmp_path / "out").glob("*/orcs/*.png")}
    assert "b-defend" in written
    assert not {"a-glow", "b-idle"} & written


def test_units_of_one_drawing_are_of_one_family():
    images = [Image.fromarray(np.asarray(body(seed).convert("RGB"))) for seed in range(3)]
    nearly = Image.fromarray(np.asarray(images[0]) + np.uint8(5))
    assert alike([*images, nearly]).tolist() == [[0, 3]]
    drawn = zip(["zombie", "ghoul", "bat", "soulless"], [*images, nearly], strict=True)
    pictures = [sprites.Sprite("undead", unit, unit, image) for unit, image in drawn]
    assert families(pictures) == {"zombie": "soulless", "soulless": "soulless", "ghoul": "ghoul", "bat": "bat"}


def test_a_unit_of_more_than_a_fifth_is_for_training_where_there_are_others():
    for large in "abcde":
        splits = split_of({name: 50 if name == large else 5 for name in "abcde"})
        assert splits[large] == "train"
        assert sorted(splits.values()) == ["test", "train", "train", "train", "val"]
    assert sorted(split_of(dict.fromkeys("abcd", 9)).values()) == ["test", "train", "train", "val"]


def test_a_sprite_that_fits_keeps_its_pixels():
    for at in ((0, 0), (16, 20), (32, 32)):
        sprite = body(1, at=at)
        picture = np.asarray(framed(sprite, 64, GROUND))
        where = (picture != GROUND).any(-1)
        rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
        inside = picture[rows[0] : rows[0] + 40, columns[0] : columns[0] + 40]
        assert (inside == np.asarray(sprite)[at[0] : at[0] + 40, at[1] : at[1] + 40, :3]).all()
        assert np.isin(picture[~where], GROUND).all()


def test_a_larger_sprite_is_averaged_over_areas():
    large = np.zeros((160, 160, 4), np.uint8)
    large[16:144, 16:144] = np.random.default_rng(0).integers(0, 200, (128, 128, 4)) | [0, 0, 0, 255]
    picture = np.asarray(framed(Image.fromarray(large), 64, GROUND), np.float32)
    means = large[16:144, 16:144, :3].reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(picture - means).max() <= 1


def test_the_window_has_the_most_and_of_equals_is_nearest_the_middle():
    assert window(np.array([0, 0, 0, 1, 1, 0, 0, 0]), 4) == 2
    assert window(np.array([1, 1, 0, 0, 0, 0, 0, 0]), 4) == 0
    assert window(np.array([0, 1, 0, 0, 0, 5, 0, 1]), 3) == 5


def test_magenta_becomes_the_team_colour_as_light_as_it_was():
    assert in_team("F49AC1") == sprites.TEAM
    light = [sum(in_team(colour)) for colour in sorted(sprites.MAGENTA.split(), key=lambda c: sum(bytes.fromhex(c)))]
    assert light == sorted(light)
    sprite = body(2)
    sprite.paste((0xEC, 0x00, 0x8C, 255), (30, 30, 34, 34))
    colours = {colour for _, colour in framed(sprite, 64, GROUND).getcolors(4096)}
    assert in_team("EC008C") in colours
    assert (0xEC, 0x00, 0x8C) not in colours


def test_the_ground_is_that_of_the_command_line(share, tmp_path, monkeypatch, capsys):
    for ground, expected in (("dark", sprites.GROUNDS["dark"]), ("1,2,3", (1, 2, 3))):
        made(monkeypatch, "--share", share, "--out", tmp_path / ground, "--ground", ground, "--size", "48")
        picture = Image.open(next((tmp_path / ground).rglob("*.png")))
        assert picture.size == (48, 48)
        assert picture.getpixel((0, 0)) == expected
    for wrong in ("pink", "1,2", "1,2,256", "1,2,x,3", "1,,2,3"):
        with pytest.raises(SystemExit):
            made(monkeypatch, "--share", share, "--out", tmp_path / "none", "--ground", wrong)
        assert f"'{wrong}' is neither dark nor light nor R,G,B from 0 to 255" in capsys.readouterr().err


def test_a_missing_package_and_a_folder_that_is_there_are_errors_of_a_line(share, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match=r"no sprites in .*: apt-get install wesnoth-1.16-data, or --share") as error:
        made(monkeypatch, "--share", tmp_path, "--out", tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    (tmp_path / "there").mkdir()
    with pytest.raises(SystemExit):
        made(monkeypatch, "--share", share, "--out", tmp_path / "there")
    assert "is there already" in capsys.readouterr().err
