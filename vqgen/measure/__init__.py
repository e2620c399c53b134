"""Metrics, and the evaluation of reconstructions, likelihood and samples."""
