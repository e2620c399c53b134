"""Memory and time of a step of a large codebook: 262,144 codes of 32 numbers, a third of them dead, 16,384 vectors.

python -m tests.benchmarks.large_codebook
"""

import resource
import time

import torch

from vqgen.nn.quantize import EMAQuantizer

NUM_EMBEDDINGS, DIM, SIZE = 2**18, 32, (16, 32, 32, 32)


def main() -> None:
    """Print what a step takes beyond the codebook and its averages."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    z_e, quantizer = torch.randn(SIZE), EMAQuantizer(NUM_EMBEDDINGS, DIM)
    quantizer.codebook.normal_()
    quantizer.sums.copy_(quantizer.codebook)
    quantizer.num_updates.fill_(1)  # started
    quantizer.counts[::3] = 1e-6
    EMAQuantizer(64, DIM)(z_e)  # what torch itself takes at its first use
    with open("/proc/self/statm") as file:
        before = int(file.read().split()[1]) * resource.getpagesize()
    start = time.perf_counter()
    quantizer(z_e)
    seconds = time.perf_counter() - start
    extra = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(f"{seconds:.1f} s on one thread, at most {extra / 2**20:.0f} MiB more than before")


if __name__ == "__main__":
    main()
