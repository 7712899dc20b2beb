"""Plot the coherence analysis: all pairs, the significant pairs, and the strongest pair."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coherence import SAMPLING_INTERVAL

HOMOLOGOUS, OTHER = "#c1272d", "#3b6ea5"


def draw(
    names: list[str],
    recording: np.ndarray,
    coherence: np.ndarray,
    significant: np.ndarray,
    path: Path,
) -> None:
    """Draw the three panels and save them as PNG.

    Parameters
    ----------
    names : list of str
        Names of the regions, left hemisphere first, then the right one in the same order.
    recording : numpy.ndarray
        Shape ``(n_regions, n_volumes)``.
    coherence : numpy.ndarray
        Shape ``(n_regions, n_regions)``, symmetric.
    significant : numpy.ndarray
        bool, same shape.
    path : pathlib.Path
        File to write.
    """
    with mpl.rc_context({"font.size": 9, "axes.titlesize": 11, "axes.titlelocation": "left"}):
        figure = Figure(figsize=(13.5, 8.2), dpi=130, layout="constrained")
        panels = figure.subplot_mosaic(
            [["matrix", "network"], ["traces", "traces"]],
            height_ratios=[3.1, 1],
            width_ratios=[1.25, 1],
        )
        matrix(panels["matrix"], names, coherence, significant)
        network(panels["network"], names, coherence, significant)
        traces(panels["traces"], names, recording, coherence)
        figure.savefig(path)


def matrix(axes: Axes, names: list[str], coherence: np.ndarray, significant: np.ndarray) -> None:
    """Draw all pairs below the diagonal and the significant pairs above it."""
    n = len(names)
    below = np.tril(np.ones((n, n), dtype=bool), k=-1)
    shown = np.where(below | (significant & below.T), coherence, np.nan)
    image = axes.imshow(shown, cmap="magma_r", vmin=0, vmax=np.nanmax(shown))
    axes.axhline(n / 2 - 0.5, color="0.6", linewidth=0.8)
    axes.axvline(n / 2 - 0.5, color="0.6", linewidth=0.8)
    axes.set_xticks(range(n), names, rotation=90)
    axes.set_yticks(range(n), names)
    axes.tick_params(length=0)
    axes.set_title(
        f"Coherence of {n} regions, 0.02 to 0.15 Hz\n"
        f"below: all {n * (n - 1) // 2} pairs, above: the "
        f"{significant.sum() // 2} significant ones"
    )
    axes.figure.colorbar(image, ax=axes, label="coherence", shrink=0.8)


def network(axes: Axes, names: list[str], coherence: np.ndarray, significant: np.ndarray) -> None:
    """Draw the significant pairs between two columns of regions, one per hemisphere."""
    half = len(names) // 2
    angle = np.linspace(0.40 * np.pi, -0.40 * np.pi, half)
    right = np.column_stack([np.cos(angle) + 0.12, 1.35 * np.sin(angle)])
    position = np.vstack([right * [-1, 1], right])
    strongest = coherence[significant].max() if significant.any() else 1.0
    for one, other in zip(*np.nonzero(np.triu(significant)), strict=True):
        homologous = other == one + half
        strength = coherence[one, other] / strongest
        axes.plot(
            *position[[one, other]].T,
            color=HOMOLOGOUS if homologous else OTHER,
            linewidth=0.4 + 4 * strength**2,
            alpha=0.95 if homologous else 0.15 + 0.5 * strength**2,
            zorder=2 if homologous else 1,
            solid_capstyle="round",
        )
    axes.scatter(*position.T, s=42, color="white", edgecolor="0.2", zorder=3)
    for place, name in zip(position, names, strict=True):
        side = -1 if name.startswith("L") else 1
        axes.annotate(
            name[1:],
            place,
            xytext=(9 * side, 0),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
        )
    axes.text(-0.75, 1.62, "left", ha="center", color="0.35")
    axes.text(0.75, 1.62, "right", ha="center", color="0.35")
    axes.plot([], [], color=HOMOLOGOUS, linewidth=2.5, label="same region, both hemispheres")
    axes.plot([], [], color=OTHER, linewidth=2.5, label="other pairs")
    axes.legend(loc="lower center", ncols=2, frameon=False, bbox_to_anchor=(0.5, -0.06))
    axes.set(xlim=(-1.55, 1.55), ylim=(-1.6, 1.7), aspect="equal")
    axes.axis("off")
    axes.set_title("Significant pairs; thicker lines are more coherent")


def traces(axes: Axes, names: list[str], recording: np.ndarray, coherence: np.ndarray) -> None:
    """Draw the signals of the most coherent pair."""
    pairs = np.triu(coherence, k=1)
    one, other = np.unravel_index(np.argmax(pairs), pairs.shape)
    time = np.arange(recording.shape[1]) * SAMPLING_INTERVAL
    for region, color in ((one, HOMOLOGOUS), (other, "0.25")):
        trace = recording[region] - recording[region].mean()
        axes.plot(time, trace / trace.std(), color=color, linewidth=1.0, label=names[region])
    axes.set(xlabel="time (s)", ylabel="BOLD signal (s.d.)", xlim=(time[0], time[-1]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=2, loc="upper right", bbox_to_anchor=(1, 1.22))
    axes.set_title(
        f"The strongest pair: {names[one]} and {names[other]}, "
        f"coherence {coherence[one, other]:.2f}"
    )
