"""A small example: find the wavelet that describes a heartbeat with the fewest coefficients.

Run it with `hatch run examples:ecg`. Each wavelet is one call.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from acme import ParallelMap, cluster_cleanup, local_cluster_setup, open_results, shared
from wavelets import compress, load_recording

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--output-dir", help="folder for the results (default: a new one here)")
chosen = options.parse_args()

wavelets = ["haar", "db2", "db4", "db8", "sym4", "sym8", "coif2", "coif5", "bior4.4"]
recording = load_recording()

# Start workers on this machine, even if it has a batch system.
local_cluster_setup(interactive=False)

# Both arguments are sequences of different lengths; `shared` gives every call the whole recording.
with ParallelMap(compress, wavelets, shared(recording), output_dir=chosen.output_dir) as pmap:
    pmap.compute()
cluster_cleanup()

with open_results(pmap.results_container) as calls:
    results = {wavelet: call.values for wavelet, call in zip(wavelets, calls, strict=True)}
ranking = sorted(wavelets, key=lambda wavelet: results[wavelet][1])
best, worst = ranking[0], ranking[-1]

with mpl.rc_context({"font.size": 9, "axes.titlesize": 11, "axes.titlelocation": "left"}):
    page = Figure(figsize=(11, 5.6), dpi=130, layout="constrained")
    panels = page.subplot_mosaic([["best", "errors"], ["worst", "errors"]], width_ratios=[2.4, 1])
    for place, wavelet, color in (("best", best, "#c1272d"), ("worst", worst, "#3b6ea5")):
        restored, error, n_kept = results[wavelet]
        axes = panels[place]
        axes.plot(recording, color="0.75", linewidth=2.5, label="recording")
        axes.plot(restored, color=color, linewidth=1, label=f"{n_kept} coefficients of {wavelet}")
        axes.set(title=f"{place}: {wavelet}", xlim=(0, recording.size), ylabel="ECG (a.u.)")
        axes.legend(frameon=False, loc="upper right", ncols=2, bbox_to_anchor=(1, 1.17))
    panels["worst"].set_xlabel("sample")
    errors = [results[wavelet][1] for wavelet in ranking[::-1]]
    colors = ["#3b6ea5", *["0.75"] * (len(ranking) - 2), "#c1272d"]
    panels["errors"].barh(ranking[::-1], errors, color=colors)
    panels["errors"].set(title="what is missing", xlabel="error (% of the standard deviation)")
    for axes in panels.values():
        axes.spines[["top", "right"]].set_visible(False)
    figure = Path(pmap.results_container).with_name("wavelets.png")
    page.savefig(figure)

print(f"{best} needs the fewest numbers: {results[best][1]:.1f} % of the signal is missing.")
print(f"Results: {pmap.results_container}")
print(f"Figure:  {figure}")
