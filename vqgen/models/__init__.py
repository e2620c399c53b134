"""LightningModules: one file per model."""
