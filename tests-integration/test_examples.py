"""The examples run as the README shows."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import numpy as np

import acme

ROOT = Path(__file__).resolve().parents[1]
PNG = b"\x89PNG\r\n\x1a\n"


def test_fmri(run_python, workdir):
    done = run_python(
        str(ROOT / "examples/fmri/run.py"), "--output-dir", "out", "--surrogates", "40"
    )

    folder = workdir / "out"
    assert f"Results: {folder / 'seed_coherence.h5'}" in done.stdout
    figure = folder / "coherence.png"
    assert figure.read_bytes().startswith(PNG)
    with acme.open_results(folder) as calls:
        assert len(calls) == 28
        coherence = calls.stack()
        p_values = np.array([call.values[1] for call in calls])
    np.testing.assert_allclose(coherence, coherence.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(coherence), 1)
    assert (p_values > 0).all()
    # Ground truth from anatomy: homologous regions of both hemispheres are the most coherent.
    homologous = [coherence[region, region + 14] for region in range(14)]
    assert np.mean(homologous) > 2 * np.mean(coherence[np.triu_indices(28, k=1)])

    # The printed commands open the results.
    commands = [line for line in done.stdout.splitlines() if " -c " in line]
    assert len(commands) == 2
    for command in commands:
        opened = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
        assert opened.stdout.strip()


def test_fmri_is_reproducible(run_python, workdir):
    found = []
    for name in ("one", "two"):
        run_python(
            str(ROOT / "examples/fmri/run.py"), "--output-dir", name, "--surrogates", "5",
            "--seed", "3",
        )  # fmt: skip
        with acme.open_results(workdir / name) as calls:
            found.append(np.array([call.values[1] for call in calls]))
    np.testing.assert_array_equal(*found)


def test_ecg(run_python, workdir):
    done = run_python(str(ROOT / "examples/ecg/run.py"), "--output-dir", "out")

    assert (workdir / "out" / "wavelets.png").read_bytes().startswith(PNG)
    assert "bior4.4 needs the fewest numbers" in done.stdout
    with acme.open_results(workdir / "out") as calls:
        errors = [call.values[1] for call in calls]
    assert all(0 < error < 25 for error in errors)
