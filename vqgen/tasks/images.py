"""What a task is asked of: test images by number or image files, and classes by number or name."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.batch import ImageBatch
from vqgen.errors import UserError, near_miss
from vqgen.runs.trained_run import TrainedRun


def chosen(
    trained: TrainedRun, images: Sequence[int | str], label: int | str | None = None, key: str = "images"
) -> ImageBatch:
    """Images on the model's device, with what is given of them; of files that is the label, and their index is -1.

    Args:
        trained: the run, which prepares a file as it does its own images.
        images: numbers of test images, or paths of image files.
        label: class of the files, by number or name; None where it is not known.
        key: the option that names them, for messages.

    Raises:
        UserError: no such image, numbers and files in one list, or a label for test images, which have their own.
    """
    files = [image for image in images if isinstance(image, str)]
    if not files:
        if label is not None:
            raise UserError(f"label={label}: test images have their own; label is for {key}=[FILE]")
        return trained.batch([image for image in images if isinstance(image, int)])
    if len(files) < len(images):
        raise UserError(f"{key}={list(images)}: give test images by number, or image files, and not both")
    given = {} if label is None else {"label": torch.full((len(files),), label_index(label, trained))}
    x = torch.stack([_opened(trained, file, key) for file in files])
    given = {name: values.to(x.device) for name, values in given.items()}
    return ImageBatch(x, given, torch.full((len(files),), -1, device=x.device))


def _opened(trained: TrainedRun, file: str, key: str) -> Float[Tensor, "c h w"]:
    try:
        return trained.from_file(file).x
    except UserError as error:
        raise UserError(f"{key}: {error}") from None


def name_of(image: int | str) -> str:
    """What a row of a test image or of a file is called."""
    return short(image) if isinstance(image, str) else f"image {image}"


def short(image: int | str) -> str:
    """The number of a test image, the name of a file."""
    return Path(str(image)).name


def label_index(label: int | str, trained: TrainedRun) -> int:
    """Number of a class given by number or name; UserError where there is no such class."""
    names, number = trained.class_names, trained.num_classes
    if not number:
        raise UserError(f"label={label}: '{trained.folder}' was trained without labels")
    if str(label) in names:  # a class may be called by a number
        return names.index(str(label))
    if isinstance(label, int) and 0 <= label < number:
        return label
    raise UserError(f"label={label}: no such class{near_miss(str(label), names or map(str, range(number)))}")
