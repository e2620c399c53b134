"""torchmetrics.Metric classes over pure functions."""
