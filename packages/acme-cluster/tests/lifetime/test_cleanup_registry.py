"""Folders that are removed together with the private folder of a cluster."""

import os

from acme_cluster.batch_system.cluster_folder import ClusterFolder
from acme_cluster.keys import make_keys
from acme_cluster.lifetime import cleanup_registry


def folder_with_a_file(path):
    path.mkdir()
    (path / "file").write_text("x")
    return path


def test_listed_folders_are_removed_with_the_folder_of_a_cluster(tmp_path):
    cluster = ClusterFolder.create(tmp_path / "base", make_keys())
    noted = [folder_with_a_file(tmp_path / name) for name in ("one", "tw o\nü", "gone")]
    other = folder_with_a_file(tmp_path / "other")
    for folder in noted:
        cleanup_registry.note(cluster.path, folder)
    (noted[2] / "file").unlink()
    noted[2].rmdir()
    cluster.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert (other / "file").exists()


def test_links_and_files_are_kept(tmp_path):
    private, target = tmp_path / "private", folder_with_a_file(tmp_path / "target")
    private.mkdir()
    (tmp_path / "link").symlink_to(target)
    for path in (tmp_path / "link", target / "file"):
        cleanup_registry.note(private, path)
    cleanup_registry.remove_noted(private)
    assert (target / "file").exists()
    assert os.path.islink(tmp_path / "link")


def test_only_clusters_of_this_package_promise_removal(tmp_path):
    class Client:
        cluster = None

    assert not cleanup_registry.remove_with(Client(), tmp_path)
    Client.cluster = Client()
    Client.cluster.private_folder = str(tmp_path / "has gone")
    assert not cleanup_registry.remove_with(Client(), tmp_path)
    Client.cluster.private_folder = str(tmp_path)
    assert cleanup_registry.remove_with(Client(), tmp_path / "x")
