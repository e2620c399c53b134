"""Train a model: `python train.py model=vqvae data=shapes`. Every option: `python train.py --help`.

Installed, it is `vqgen-train`. It is a program of Hydra, whose tab completion looks for @hydra.main here.
"""

from vqgen.programs import train as main

if __name__ == "__main__":
    main()
