"""Find out what a path is: a container, an output directory, a payload folder."""

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
    """Make the source of a container, an output directory or a payload folder.

    Raises
    ------
    FileNotFoundError
        There is nothing at this path.
    UnknownFileError
        acme-io did not write what is there.
    """
    if not path.exists():
        raise FileNotFoundError(f"There are no results: {path} does not exist.")
    if path.is_dir():
        container = _container_in(path)
        if container is None or _has_parts(container):
            return _from_folder(path)
        path = container
    return container_source(path)


def container_source(path: Path) -> Source:
    """Make the source of a container or record."""
    try:
        checked = CheckedFile(path)
    except DamagedFileError as error:
        raise DamagedFileError(
            f"{error} If it is the container of a run, `acme-io rebuild {path.parent}` makes it "
            "anew from the payloads that are there."
        ) from error
    try:
        facts = read_facts(checked)
        way = layout_named(facts.layout)
        if way is None:
            raise UnknownFileError(
                f"{path} holds results in a layout named {facts.layout!r}, which this acme-io does "
                "not know. Update acme-io."
            )
        source = way.source(facts, path.name.removesuffix(".h5"))
    except BaseException:
        checked.close()
        raise
    source.keep(checked)
    return source


def _has_parts(container: Path) -> bool:
    """Whether a run that goes on with the container's was killed: there is more than it holds."""
    folder = container.parent / layout.parts_folder(container.stem)
    try:
        return any(layout.parse_payload_name(file.name) for file in folder.iterdir())
    except OSError:
        return False


def _container_in(folder: Path) -> Path | None:
    """Find the one container in an output directory, or beside a payload folder."""
    found = [path for path in sorted(folder.glob("*.h5")) if is_container(path)]
    if not found:
        beside = [path for path in sorted(folder.parent.glob("*.h5")) if is_container(path)]
        found = [p for p in beside if layout.payload_folder(p.stem) == folder.name]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UnknownFileError(f"{folder} holds several results: {names}. Open one of these files.")
    return found[0] if found else None


def is_container(path: Path) -> bool:
    """Whether a file is a container of ours, judged by its first bytes; a damaged one counts."""
    try:
        with open(path, "rb") as file:
            head = file.read(256)
    except OSError:
        return False
    return head.startswith(b"ACME-IO ") and any(
        b'"kind":"%s"' % kind in head for kind in (b"container", b"record")
    )


def _from_folder(folder: Path) -> Source:
    """Read payloads that have no container: of a run that goes on, or was killed."""
    for place in (folder, folder.parent):
        names = names_in(place)
        if place != folder:
            names = [name for name in names if layout.payload_folder(name) == folder.name]
        if len(names) > 1:
            raise UnknownFileError(
                f"{folder} holds results of several functions: {', '.join(names)}. Open the folder "
                "with the payloads of one of them."
            )
        if names:
            return scanned_source(place, names[0])
    raise UnknownFileError(f"{folder} holds no results of acme-io.")


def scanned_source(output_dir: Path, name: str) -> Source:
    """Make a source of payloads that have no container.

    Raises
    ------
    UnknownFileError
        There is no usable payload.
    """
    found = scan(output_dir, name)
    path = output_dir / layout.container_name(name)
    options, index = found.options, found.index
    facts = ContainerFacts(
        path, "", found.run.run_id, index.table, options.slots, run_json=found.run_json
    )
    return way_for(options).unfinished_source(facts, name, options, index)
