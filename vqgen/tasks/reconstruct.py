"""Images through the codes and back."""

from vqgen import figures
from vqgen.errors import UserError
from vqgen.tasks.trained import Outcome, Trained


class Reconstruct:
    """Originals, reconstructions, error maps and code maps, one under the other.

    Args:
        num_samples: how many images of the test split.
    """

    def __init__(self, num_samples: int = 16) -> None:
        self.num_samples = num_samples

    def __call__(self, trained: Trained) -> Outcome:
        """The picture, and the arrays it was made of.

        Raises:
            UserError: the model reconstructs nothing.
        """
        model = trained.tokenizer or trained.model
        if not hasattr(model, "reconstruct"):
            raise UserError(f"task=reconstruct needs an autoencoder, and '{trained.folder}' is a {trained.kind}")
        images = trained.images()
        batch = next(iter(images.evaluation_loader("test")))
        x = images.on_after_batch_transfer(batch, 0).x[: self.num_samples].to(model.device)
        return Outcome(
            {"reconstructions": figures.reconstructions(model, x)},
            {"x": x.cpu().numpy(), "x_hat": model.reconstruct(x).cpu().numpy()},
        )
