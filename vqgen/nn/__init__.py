"""Plain PyTorch networks: the mathematics, without trainer, configuration or data."""
