"""Use a trained run: `python sample.py run=RUN`. Every task and option: `python sample.py --help`.

Installed, it is `vqgen-sample`. It is a program of Hydra, whose tab completion looks for @hydra.main here.
"""

from vqgen.programs import sample as main

if __name__ == "__main__":
    main()
