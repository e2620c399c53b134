"""Checks of the options of a dataset."""

from pathlib import Path

from vqgen.errors import DataError

OPTION = "data.root (data_root, where a trained run is used)"
"""The option that says where the images are, for messages."""


def require(holds: bool, option: str, value: object, wanted: str) -> None:
    """Raise DataError, which names an option of the data, its value and what is wanted, unless that `holds`."""
    if not holds:
        raise DataError(f"data.{option}={value}: {wanted}.")


def require_fractions(val: float, test: float) -> None:
    """Raise DataError unless these fractions of the images, for two splits, leave some for training."""
    for option, value in {"val_fraction": val, "test_fraction": test}.items():
        require(value >= 0, option, value, "expected a fraction, 0 or more")
    require(val + test < 1, "val_fraction", f"{val}, data.test_fraction={test}", "together they are less than 1")


def folder_of(option: str, value: str) -> Path:
    """The path that an option gives for a folder. Raises DataError where it, or what should hold it, is a file."""
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:  # ~NAME of a user that is not on this machine
        raise DataError(f"data.{option}={value}: {error}; give the whole path.") from None
    file = next((place for place in (path, *path.parents) if place.is_file()), None)
    if file is not None:
        raise DataError(f"data.{option}={value}: {file.resolve()} is a file, not a folder.")
    return path
