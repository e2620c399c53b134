"""Tensors to pictures: grids, figures, plots."""
