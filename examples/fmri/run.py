"""A complete analysis of a real fMRI recording, from parallel calls to a figure.

Run it with `hatch run demo`, or with `python examples/fmri/run.py` in an environment with acme,
nitime and matplotlib. Each of the 28 regions is one call.
"""

import argparse
import sys
from pathlib import Path

import h5py
import numpy as np

from acme import ParallelMap, cluster_cleanup, local_cluster_setup, open_results
from coherence import load_recording, seed_coherence, significant_pairs
from figure import draw

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--output-dir", help="folder for the results (default: a new one here)")
options.add_argument("--surrogates", type=int, default=300, help="random lags per region")
options.add_argument("--seed", type=int, default=2026, help="seed of the random lags")
chosen = options.parse_args()

names, recording = load_recording()
print(f"{len(names)} regions, {recording.shape[1]} volumes each")

# Start workers on this machine, one per core. Without this line and `cluster_cleanup` below,
# `ParallelMap` would start its own workers, on a SLURM cluster as jobs: too much for an example.
local_cluster_setup(interactive=False)

# `range(28)` is distributed: call 3 gets region 3. The recording is a 2-D array and hence shared by
# all calls. `rng` is not given, so each call gets its own generator, derived from `seed`.
# The first return values of all calls form one array of 28 rows; the second stay separate.
with ParallelMap(
    seed_coherence,
    range(len(names)),
    recording,
    n_surrogates=chosen.surrogates,
    result_shape=(None, len(names)),
    output_dir=chosen.output_dir,
) as pmap:
    pmap.compute(seed=chosen.seed)
cluster_cleanup()
container = Path(pmap.results_container)

# Read the results with h5py ...
with h5py.File(container, "r") as h5f:
    coherence = h5f["result_0"][:]
# ... or call by call, with the original return values.
with open_results(container) as calls:
    p_values = np.array([call.values[1] for call in calls])

significant = significant_pairs(p_values)
figure = container.with_name("coherence.png")
draw(names, recording, coherence, significant, figure)

half = len(names) // 2
homologous = np.array([coherence[region, region + half] for region in range(half)])
pairs = coherence[np.triu_indices(len(names), k=1)]
print(f"""
{significant.sum() // 2} of {pairs.size} pairs of regions are coherent beyond chance.
Mean coherence of homologous regions in the two hemispheres: {homologous.mean():.2f}
Mean coherence of all pairs: {pairs.mean():.2f}

Results: {container}
Figure:  {figure}

Open them with
    {sys.executable} -c "import h5py; print(h5py.File('{container}')['result_0'][:])"
    {sys.executable} -c "import acme; print(acme.open_results('{container}')[3].values)"
""")
