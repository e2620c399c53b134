"""vqgen: autoencoders and discrete-latent image models on PyTorch Lightning and Hydra."""
