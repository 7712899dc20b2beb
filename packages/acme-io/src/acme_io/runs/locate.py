"""Identify a path as a container, an output directory or a payload folder, and open it."""

from pathlib import Path

from acme_io import layout
from acme_io.errors import DamagedFileError, UnknownFileError
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.runs.scan import names_in, scan
from acme_io.storage.container_facts import ContainerFacts, read_facts
from acme_io.storage.registry import layout_named, way_for
from acme_io.storage.source import Source

__all__ = ["find_source"]


def find_source(path: Path) -> Source:
    """Return the source of a container, an output directory or a payload folder.

    Raises
    ------
    FileNotFoundError
        The path does not exist.
    UnknownFileError
        acme-io did not write the file or folder, or it holds several results.
    DamagedFileError
        The container has changed since it was written.
    """
    if not path.exists():
        raise FileNotFoundError(f"No results found: {path} does not exist.")
    if path.is_dir():
        container = _container_in(path)
        # A container alone would hide the part files that a killed, resumed run added to it; the
        # scan reads both.
        if container is None or _has_parts(container):
            return _from_folder(path)
        path = container
    return container_source(path)


def container_source(path: Path) -> Source:
    """Return the source of a container or record; its file stays open until the source closes."""
    try:
        checked = CheckedFile(path)
    except DamagedFileError as error:
        raise DamagedFileError(
            f"{error} If it is the container of a run, `acme-io rebuild {path.parent}` recreates "
            "it from the payloads."
        ) from error
    try:
        facts = read_facts(checked)
        way = layout_named(facts.layout)
        if way is None:
            raise UnknownFileError(
                f"{path} holds results in the layout {facts.layout!r}, which this version of "
                "acme-io cannot read. Update acme-io."
            )
        # The name is that of the file, not of the function on record: pickles beside a merged file
        # `all.h5` are named `all_3.pickle`.
        source = way.source(facts, path.name.removesuffix(".h5"))
    except BaseException:
        checked.close()
        raise
    source.keep(checked)
    return source


def _has_parts(container: Path) -> bool:
    """Whether a resumed run was killed and left parts that the container lacks."""
    folder = container.parent / layout.parts_folder(container.stem)
    try:
        return any(layout.parse_payload_name(file.name) for file in folder.iterdir())
    except OSError:
        return False


def _container_in(folder: Path) -> Path | None:
    """Find the one container in an output directory, or beside a payload folder."""
    found = [path for path in sorted(folder.glob("*.h5")) if is_container(path)]
    if not found:
        # In `f_payload/` there are payloads only; its container is `../f.h5`.
        beside = [path for path in sorted(folder.parent.glob("*.h5")) if is_container(path)]
        found = [p for p in beside if layout.payload_folder(p.stem) == folder.name]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UnknownFileError(
            f"{folder} holds the results of several runs: {names}. Open one of these files."
        )
    return found[0] if found else None


def is_container(path: Path) -> bool:
    """Whether a file is a container or record of acme-io, judged by its first bytes."""
    # Only the header's text is looked at, without its checksum: a damaged container has to be
    # reported by the code that opens it, not skipped here.
    try:
        with open(path, "rb") as file:
            # The kind is the first key of the header's JSON, a few bytes into the line.
            head = file.read(256)
    except OSError:
        return False
    return head.startswith(b"ACME-IO ") and any(
        b'"kind":"%s"' % kind in head for kind in (b"container", b"record")
    )


def _from_folder(folder: Path) -> Source:
    """Read the payloads of a run without a container: it is still running, or was killed."""
    # The folder is an output directory, or else the payload folder inside one.
    for place in (folder, folder.parent):
        names = names_in(place)
        if place != folder:
            names = [name for name in names if layout.payload_folder(name) == folder.name]
        if len(names) > 1:
            raise UnknownFileError(
                f"{folder} holds results of several functions: {', '.join(names)}. Open the "
                "payload folder of one of them."
            )
        if names:
            return scanned_source(place, names[0])
    raise UnknownFileError(f"{folder} holds no results of acme-io.")


def scanned_source(output_dir: Path, name: str) -> Source:
    """Return a source of payloads that have no container.

    Raises
    ------
    UnknownFileError
        No payload is usable.
    """
    found = scan(output_dir, name)
    path = output_dir / layout.container_name(name)
    options, index = found.options, found.index
    # The path is the one that the container will have. There is no layout: that is a property of
    # containers, and the run's storage options choose the source instead.
    facts = ContainerFacts(
        path, "", found.run.run_id, index.table, options.slots, run_json=found.run_json
    )
    return way_for(options).unfinished_source(facts, name, options, index)
