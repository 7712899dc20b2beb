"""The behaviour shown in the user guide, through the public API, on local workers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from acme import ComputeError, ParallelMap, cluster_cleanup, each, open_results, shared

pytestmark = pytest.mark.usefixtures("workdir")


def f(x, y, z=3):
    return (x + y) * z


@pytest.mark.usefixtures("client")
class TestResultsOnDisk:
    def test_files_are_named_in_call_order_in_a_new_folder(self, workdir):
        with ParallelMap(f, [2, 4, 6, 8], 4) as pmap:
            results = pmap.compute()

        (folder,) = workdir.iterdir()
        assert re.fullmatch(r"ACME_\d{8}-\d{6}-\d{6}", folder.name)
        assert results == [str(folder / "f_payload" / f"f_{call}.h5") for call in range(4)]
        assert pmap.results_container == str(folder / "f.h5")
        assert Path(pmap.output_dir) == folder
        assert pmap.n_inputs == 4

    def test_container_holds_a_group_per_call(self):
        with ParallelMap(f, [2, 4, 6, 8], 4) as pmap:
            results = pmap.compute()

        with h5py.File(pmap.results_container, "r") as h5f:
            assert list(h5f) == ["comp_0", "comp_1", "comp_2", "comp_3"]
            assert [list(group) for group in h5f.values()] == [["result_0"]] * 4
            values = [h5f[f"comp_{call}"]["result_0"][()] for call in range(4)]
        assert [value.tolist() for value in values] == [[18], [24], [30], [36]]
        for path, value in zip(results, [18, 24, 30, 36], strict=True):
            with h5py.File(path, "r") as h5f:
                assert list(h5f) == ["result_0"]
                assert h5f["result_0"][()].tolist() == [value]

    def test_several_return_values_are_several_datasets(self):
        def several(x):
            return x, np.full((2, 3), x), "text"

        with ParallelMap(several, [1, 2]) as pmap:
            pmap.compute()

        with h5py.File(pmap.results_container, "r") as h5f:
            group = h5f["comp_1"]
            assert sorted(group) == ["result_0", "result_1", "result_2"]
            assert group["result_0"][()] == 2
            assert group["result_0"].shape == ()
            assert group["result_1"].shape == (2, 3)
            assert group["result_2"].asstr()[()] == "text"

    def test_output_dir_is_used_and_may_exist(self, tmp_path):
        folder = tmp_path / "mine"
        folder.mkdir()
        (folder / "notes.txt").write_text("keep me")
        with ParallelMap(f, [2, 4, 6, 8], 4, output_dir=str(folder)) as pmap:
            results = pmap.compute()

        assert results == [str(folder / "f_payload" / f"f_{call}.h5") for call in range(4)]
        assert pmap.results_container == str(folder / "f.h5")
        assert (folder / "notes.txt").read_text() == "keep me"

    def test_folder_can_be_moved(self, tmp_path):
        with ParallelMap(f, [2, 4, 6, 8], 4, output_dir=tmp_path / "before") as pmap:
            pmap.compute()
        (tmp_path / "before").rename(tmp_path / "after")

        with h5py.File(tmp_path / "after" / "f.h5", "r") as h5f:
            assert h5f["comp_3"]["result_0"][()].tolist() == [36]
        with open_results(tmp_path / "after") as calls:
            assert [call.values for call in calls] == [18, 24, 30, 36]

    def test_only_the_call_that_hdf5_cannot_store_is_pickled(self, capfd):
        def odd(x):
            return {x} if x == 4 else x

        with ParallelMap(odd, [2, 4, 6]) as pmap:
            results = pmap.compute()

        assert [Path(result).name for result in results] == ["odd_0.h5", "odd_1.pickle", "odd_2.h5"]
        with open_results(pmap.results_container, allow_pickle=True) as calls:
            assert [call.values for call in calls] == [2, {4}, 6]
        with open_results(pmap.results_container) as calls:
            assert calls[2].values == 6
            with pytest.raises(ValueError, match="allow_pickle"):
                _ = calls[1].values
        assert "<ParallelMap> WARNING" in capfd.readouterr().err

    def test_write_pickle_writes_one_pickle_per_call(self, workdir):
        with ParallelMap(f, [2, 4], 4, write_pickle=True) as pmap:
            results = pmap.compute()

        (folder,) = workdir.iterdir()
        assert results == [str(folder / "f_0.pickle"), str(folder / "f_1.pickle")]
        assert pmap.results_container is None


@pytest.mark.usefixtures("client")
class TestInMemory:
    def test_values_come_back_in_call_order_and_nothing_is_written(self, workdir):
        with ParallelMap(f, [2, 4, 6, 8], 4, write_worker_results=False) as pmap:
            results = pmap.compute()
        assert results == [18, 24, 30, 36]
        assert all(type(value) is int for value in results)
        assert pmap.results_container is None
        assert list(workdir.iterdir()) == []

    def test_n_inputs_selects_the_distributed_argument(self):
        y = np.ones((3,)) * 4
        with ParallelMap(f, [2, 4, 6, 8], y, n_inputs=4, write_worker_results=False) as pmap:
            results = pmap.compute()
        assert len(results) == 4
        for result, value in zip(results, [18.0, 24.0, 30.0, 36.0], strict=True):
            np.testing.assert_array_equal(result, np.full(3, value), strict=True)

    def test_n_inputs_repeats_the_same_call(self):
        with ParallelMap(f, 2, 3, n_inputs=4, write_worker_results=False) as pmap:
            assert pmap.compute() == [15, 15, 15, 15]

    def test_each_and_shared_override_lengths(self):
        table = np.arange(6.0).reshape(2, 3)
        with ParallelMap(
            f, each(table), shared([1, 1, 1]), z=2, write_worker_results=False
        ) as pmap:
            results = pmap.compute()
        np.testing.assert_array_equal(results, (table + 1) * 2)

    def test_without_context_manager(self, client):
        pmap = ParallelMap(f, [2, 4, 6, 8], 4, write_worker_results=False)
        assert pmap.compute() == [18, 24, 30, 36]
        pmap.cleanup()
        assert client.status == "running"


@pytest.mark.usefixtures("client")
class TestResultShape:
    def test_dataset_stacked_on_disk(self):
        y = np.ones((3,)) * 4
        with ParallelMap(f, [2, 4, 6, 8], y, n_inputs=4, result_shape=(None, 3)) as pmap:
            pmap.compute()
        with h5py.File(pmap.results_container, "r") as h5f:
            assert repr(h5f.keys()) == "<KeysViewHDF5 ['result_0']>"
            assert repr(h5f["result_0"]) == '<HDF5 dataset "result_0": shape (4, 3), type "<f8">'
            stacked = h5f["result_0"][()]
        np.testing.assert_array_equal(stacked, np.outer([18.0, 24.0, 30.0, 36.0], np.ones(3)))

    @pytest.mark.parametrize(
        ("shape", "expected"), [((None, 3), (4, 3)), ((3, None), (3, 4)), ((None, 1, 3), (4, 1, 3))]
    )
    def test_none_marks_the_stacking_dimension(self, shape, expected):
        def row(x):
            return np.full([length for length in shape if length is not None], x)

        with ParallelMap(row, [1, 2, 3, 4], result_shape=shape, write_worker_results=False) as pmap:
            (stacked,) = pmap.compute()
        assert stacked.shape == expected
        assert np.unique(np.take(stacked, 2, axis=shape.index(None))) == [3.0]

    def test_further_return_values_follow_in_memory(self):
        def both(x):
            return np.full(2, x), f"call of {x}"

        with ParallelMap(both, [1, 2], result_shape=(None, 2), write_worker_results=False) as pmap:
            stacked, *others = pmap.compute()
        np.testing.assert_array_equal(stacked, [[1, 1], [2, 2]])
        assert others == [["call of 1"], ["call of 2"]]

    def test_result_of_wrong_shape_fails_its_call_and_states_both_shapes(self):
        def ragged(n):
            return np.zeros(n)

        with (
            ParallelMap(ragged, [3, 2, 3], result_shape=(None, 3)) as pmap,
            pytest.raises(ComputeError, match=r"\(2,\)(.|\n)*\(3,\)|\(3,\)(.|\n)*\(2,\)") as caught,
        ):
            pmap.compute()
        assert list(caught.value.failures) == [1]
        with h5py.File(pmap.results_container, "r") as h5f:
            np.testing.assert_array_equal(h5f["result_0"][[0, 2]], np.zeros((2, 3)))

    def test_varying_length_comes_from_the_data(self):
        with ParallelMap(
            np.arange, [1, 3], result_shape=(None, np.inf), write_worker_results=False
        ) as pmap:
            (stacked,) = pmap.compute()[:1]
        np.testing.assert_array_equal(stacked, [[0, np.nan, np.nan], [0, 1, 2]])


@pytest.mark.usefixtures("no_client")
class TestClients:
    def test_existing_client_is_reused_and_left_running(self, capfd):
        z = np.random.default_rng(1).integers(low=1, high=10, size=500, endpoint=True)
        with ParallelMap(
            f, 2, 4, z=z, n_workers=50, partition="8GBXS", stop_client=False,
            write_worker_results=False,
        ) as pmap:  # fmt: skip
            results = pmap.compute()
        assert results == [6 * value for value in z]
        assert " WARNING: " in capfd.readouterr().err
        assert pmap.n_workers == len(os.sched_getaffinity(0))
        kept = pmap.client

        with ParallelMap(f, 2, 4, z=np.append(z, z), write_worker_results=False) as pmap:
            assert len(pmap.compute()) == 1000
        assert pmap.client is kept
        assert kept.status == "running"
        attaching = "<ParallelMap> INFO: Attaching to global parallel computing client <Client: "
        assert attaching in capfd.readouterr().err

    def test_client_that_was_started_is_stopped(self):
        with ParallelMap(f, [2, 4], 4, write_worker_results=False) as pmap:
            pmap.compute()
            client = pmap.client
            assert client.status == "running"
        assert client.status == "closed"

    def test_any_dask_client_works(self, run_python, workdir):
        (workdir / "script.py").write_text(
            "import distributed\n"
            "from acme import ParallelMap\n"
            "def f(x, y, z=3):\n"
            "    return (x + y) * z\n"
            "if __name__ == '__main__':\n"
            "    cluster = distributed.LocalCluster(\n"
            "        n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None)\n"
            "    client = distributed.Client(cluster.scheduler_address)\n"
            "    with ParallelMap(f, [2, 4, 6, 8], 4, write_worker_results=False) as pmap:\n"
            "        print(pmap.compute(), pmap.client is client, pmap.n_workers)\n"
            "    print(client.status)\n"
            "    client.close()\n"
            "    cluster.close()\n"
        )
        done = run_python("script.py")
        assert done.stdout == "[18, 24, 30, 36] True 1\nrunning\n"

    def test_cleanup_stops_the_current_client(self):
        with ParallelMap(f, [2, 4], 4, write_worker_results=False, stop_client=False) as pmap:
            pmap.compute()
        cluster_cleanup()
        assert pmap.client.status == "closed"


class TestFailures:
    @pytest.mark.usefixtures("client")
    def test_other_calls_finish_and_the_message_fits_on_a_screen(self):
        def picky(x):
            if x % 2:
                raise KeyError(f"no odd numbers: {x}")
            return x

        pmap = ParallelMap(picky, range(100), write_worker_results=False)
        with pytest.raises(ComputeError) as caught:
            pmap.compute()
        assert isinstance(caught.value, RuntimeError)
        assert isinstance(caught.value.__cause__, KeyError)
        assert sorted(caught.value.failures) == list(range(1, 100, 2))
        message = str(caught.value)
        assert "50" in message
        assert "KeyError" in message
        assert "no odd numbers" in message
        assert "in picky" in message
        assert "distributed" not in message
        assert len(message.splitlines()) <= 40

    @pytest.mark.usefixtures("client")
    def test_keep_returns_none_for_failed_calls(self):
        with ParallelMap(f, [2, 4, None], 4, write_worker_results=False) as pmap:
            assert pmap.compute(on_error="keep") == [18, 24, None]
        assert list(pmap.failures) == [2]

    def test_debug_raises_the_original_exception(self, untouched):
        with untouched():
            pmap = ParallelMap(f, [2, 4, 6, 8], 4, z=None)
            with pytest.raises(TypeError) as caught:
                pmap.compute(debug=True)
        assert str(caught.value) == "unsupported operand type(s) for *: 'int' and 'NoneType'"
        assert caught.traceback[-1].name == "f"

    def test_debug_runs_in_this_process_and_writes_the_usual_files(self, workdir, no_client):
        import threading

        here = []

        def note(x):
            here.append((os.getpid(), threading.get_ident()))
            return x

        with ParallelMap(note, [1, 2, 3], output_dir=workdir / "out") as pmap:
            results = pmap.compute(debug=True)
        assert here == [(os.getpid(), threading.get_ident())] * 3
        assert [Path(path).name for path in results] == ["note_0.h5", "note_1.h5", "note_2.h5"]


class TestDashboard:
    def test_link_is_printed_and_serves_the_page(self, no_client, capfd):
        from urllib.request import urlopen

        from acme import local_cluster_setup

        local_cluster_setup(n_workers=1)
        shown = capfd.readouterr().err
        found = re.search(
            r"^<local_cluster_setup> Cluster dashboard accessible at (http://127\.0\.0\.1:\d+/status)$",
            shown,
            flags=re.MULTILINE,
        )
        assert found, shown
        with urlopen(found[1]) as page:
            assert b"bokeh" in page.read().lower()
