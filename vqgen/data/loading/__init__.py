"""Order, batches and workers of a loader, functions of (seed, epoch)."""
