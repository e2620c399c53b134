"""LightningDataModules: sources of images, and the codes of a tokenizer."""
