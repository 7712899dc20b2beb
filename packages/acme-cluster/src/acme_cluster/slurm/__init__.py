"""SLURM's commands and the meaning of their output.

`query` runs the commands, `parse` reads their output, `explain` translates reasons and states of
jobs, and `hint` guesses from files alone whether this machine has SLURM. This room may import
`sizes` and `errors`.
"""
