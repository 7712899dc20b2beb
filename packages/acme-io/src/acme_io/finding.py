"""Find out what a path is: a container, an output directory, a payload folder."""

from pathlib import Path

import numpy as np

from . import layout
from .alike import AlikeSource
from .errors import DamagedFileError, UnknownFileError
from .opening import SealedFile
from .scan import names_in, scan
from .single_source import PartSource, SingleSource
from .sources import Container, LinkedSource, PickleSource, Source, read_container
from .stacked_source import StackedSource

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
        sealed = SealedFile(path)
    except DamagedFileError as error:
        raise DamagedFileError(
            f"{error} If it is the container of a run, `acme-io rebuild {path.parent}` makes it "
            "anew from the payloads that are there."
        ) from error
    try:
        source = _source_of(read_container(sealed), path)
    except BaseException:
        sealed.close()
        raise
    if isinstance(source, SingleSource):
        source.take(sealed)  # it will be asked for more
    else:
        sealed.close()
    return source


def _source_of(container: Container, path: Path) -> Source:
    name = path.name.removesuffix(".h5")
    if container.layout == "pickles":
        return PickleSource(container, path.parent, name.removesuffix("_record"))
    if container.layout == "stacked":
        return StackedSource(container, name)
    if container.layout == "alike":
        return AlikeSource(container, name)
    if container.layout == "single":
        return SingleSource(container, name)
    return LinkedSource(container, path.parent / layout.payload_folder(name), name)


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
    options, ledger = found.options, found.ledger
    about = Container(
        path, "", found.run.run_id, found.table, options.slots, run_json=found.run_json
    )
    if options.pickle:
        return PickleSource(about, output_dir, name)
    if options.slots is not None:
        stretches = ledger.stretches(range(found.run.n_calls))
        listed = [(file, calls) for file, calls in stretches if file is not None]
        lengths = np.array(ledger.lengths) if options.slots.varying_axis is not None else None
        about = about._replace(sources=listed, lengths=lengths, in_parts=options.single_file)
        return StackedSource(about, name)
    if options.single_file:
        return PartSource(about, name, ledger.files)
    return LinkedSource(about, output_dir / layout.payload_folder(name), name)
