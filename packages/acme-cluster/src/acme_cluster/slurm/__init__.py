"""Questions to SLURM and the meaning of its answers.

`query` runs SLURM's commands, `parse` reads their output, `explain` puts SLURM's words into plain
ones, and `hint` guesses from files alone whether SLURM is installed. May import `sizes` and
`errors`.
"""
