from vqgen.environment.memory import keep_memory

keep_memory()  # as the programs do
