"""LightningDataModules: one file per source of images, and the code store."""
