"""The published PixelCNN over codes."""

from vqgen.nn.priors.pixelcnn import PixelCNN


def test_pixelcnn_has_the_published_number_of_parameters():
    network = PixelCNN(num_embeddings=128, hidden_channels=128, num_residual_blocks=2)
    assert sum(p.numel() for p in network.parameters()) == 1_049_728
