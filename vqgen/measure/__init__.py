"""What is measured: metrics, and the evaluation of reconstructions, likelihood and samples."""
