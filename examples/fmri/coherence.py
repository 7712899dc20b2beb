"""Find the regions of a resting brain that oscillate together.

Plain NumPy and SciPy functions without any code for parallel computing.
"""

from __future__ import annotations

import csv
from importlib import resources

import numpy as np
from scipy import signal

# The recording: one person at rest, fixating a cross, one brain volume every 1.89 s, averaged over
# regions of interest. It comes with nitime, whose documentation states the sampling interval and
# credits the data to Beth Mormino.
SAMPLING_INTERVAL = 1.89  # seconds
NOT_REGIONS = 3  # the first columns: white matter, ventricles, whole brain
MISSPELLED = {"APHG": "LAntPHG"}  # the left counterpart of "RAntPHG"


def load_recording() -> tuple[list[str], np.ndarray]:
    """Load the fMRI time series that come with nitime.

    Returns
    -------
    names : list of str
        Names of the regions; the first letter is the hemisphere (``L`` or ``R``).
    recording : numpy.ndarray
        One row per region, one column per volume, float64, shape ``(28, 250)``, in scanner units.
    """
    with resources.files("nitime").joinpath("data/fmri_timeseries.csv").open() as file:
        header, *rows = csv.reader(file)
    names = [MISSPELLED.get(name, name) for name in header[NOT_REGIONS:]]
    return names, np.array(rows, dtype=float)[:, NOT_REGIONS:].T


def band_coherence(
    one: np.ndarray, others: np.ndarray, band: tuple[float, float] = (0.02, 0.15)
) -> np.ndarray:
    """Average the magnitude-squared coherence of two signals over a frequency band.

    Parameters
    ----------
    one, others : numpy.ndarray
        Signals along the last axis; broadcastable shapes.
    band : tuple of float
        Lower and upper edge in hertz. Scanner drift lies below, breathing and heartbeat above.

    Returns
    -------
    numpy.ndarray
        Values between 0 and 1, shape of the broadcast signals without the last axis.
    """
    frequencies, coherence = signal.coherence(
        one, others, fs=1 / SAMPLING_INTERVAL, nperseg=50, noverlap=25
    )
    inside = (frequencies >= band[0]) & (frequencies <= band[1])
    return coherence[..., inside].mean(axis=-1)


def seed_coherence(
    seed: int,
    recording: np.ndarray,
    n_surrogates: int = 500,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the coherence of one region with all others, and test it against chance.

    The chance level comes from surrogates: a random circular shift of the seed's signal keeps its
    spectrum and destroys its relation to the other signals.

    Parameters
    ----------
    seed : int
        Row of the region in `recording`.
    recording : numpy.ndarray
        Shape ``(n_regions, n_volumes)``.
    n_surrogates : int
        Number of random lags.
    rng : numpy.random.Generator, optional
        Draws the lags.

    Returns
    -------
    coherence : numpy.ndarray
        Coherence of the seed with each region, shape ``(n_regions,)``; 1 for the seed itself.
    p_value : numpy.ndarray
        Fraction of surrogates that are at least as coherent, shape ``(n_regions,)``; never 0.
    """
    rng = np.random.default_rng(rng)
    n_volumes = recording.shape[1]
    coherence = band_coherence(recording[seed], recording)
    exceeded = np.zeros(len(recording), dtype=int)
    # Shift by at least a tenth of the recording: a shorter shift keeps part of the relation.
    for lag in rng.integers(n_volumes // 10, n_volumes - n_volumes // 10, size=n_surrogates):
        exceeded += band_coherence(np.roll(recording[seed], lag), recording) >= coherence
    return coherence, (exceeded + 1) / (n_surrogates + 1)


def significant_pairs(p_values: np.ndarray, false_discoveries: float = 0.05) -> np.ndarray:
    """Mark the pairs of regions that are significant after correction for multiple comparisons.

    Parameters
    ----------
    p_values : numpy.ndarray
        One row per seed, shape ``(n, n)``. A pair has two p-values; the larger counts.
    false_discoveries : float
        Tolerated fraction of false pairs among the marked ones (Benjamini and Hochberg, 1995).

    Returns
    -------
    numpy.ndarray
        bool, shape ``(n, n)``, symmetric, False on the diagonal.
    """
    pairs = np.triu_indices_from(p_values, k=1)
    p = np.maximum(p_values, p_values.T)[pairs]
    order = np.argsort(p)
    passed = np.flatnonzero(p[order] <= false_discoveries * np.arange(1, p.size + 1) / p.size)
    marked = np.zeros_like(p_values, dtype=bool)
    if passed.size:
        kept = order[: passed[-1] + 1]
        marked[pairs[0][kept], pairs[1][kept]] = True
    return marked | marked.T
