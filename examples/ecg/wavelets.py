"""Compress a heartbeat: an electrocardiogram in different wavelets.

Plain NumPy and PyWavelets functions without any code for parallel computing.
"""

from __future__ import annotations

import numpy as np
import pywt
import pywt.data


def load_recording() -> np.ndarray:
    """Load the electrocardiogram that comes with PyWavelets.

    Returns
    -------
    numpy.ndarray
        1024 samples, float64, in the units of the recorder.
    """
    return pywt.data.ecg().astype(float)


def compress(
    wavelet: str, recording: np.ndarray, kept: float = 0.06
) -> tuple[np.ndarray, float, int]:
    """Keep the largest wavelet coefficients of a signal and reconstruct it from them.

    Parameters
    ----------
    wavelet : str
        Name of a discrete wavelet, such as ``"sym4"``.
    recording : numpy.ndarray
        Shape ``(n_samples,)``.
    kept : float
        Number of coefficients to keep, as a fraction of the number of samples.

    Returns
    -------
    restored : numpy.ndarray
        Signal reconstructed from the kept coefficients, shape ``(n_samples,)``.
    error : float
        Root mean square error, in percent of the recording's standard deviation.
    n_kept : int
        Number of kept coefficients.
    """
    # Periodic boundaries give as many coefficients as samples, whatever the wavelet.
    levels = pywt.wavedec(recording, wavelet, mode="periodization")
    coefficients, layout = pywt.coeffs_to_array(levels)
    n_kept = round(kept * recording.size)
    smallest = np.sort(np.abs(coefficients))[-n_kept]
    coefficients[np.abs(coefficients) < smallest] = 0
    levels = pywt.array_to_coeffs(coefficients, layout, output_format="wavedec")
    restored = pywt.waverec(levels, wavelet, mode="periodization")
    error = 100 * np.sqrt(np.mean((recording - restored) ** 2)) / recording.std()
    return restored, float(error), int(np.count_nonzero(coefficients))
