"""Finds, downloads and reads the data sets of the catalogue."""

import difflib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .catalogue import CATALOGUE
from .idx import read_idx

__all__ = ["Location", "class_names", "info", "load", "locate", "names"]


@dataclass(frozen=True)
class Location:
    """Where a data set would be read from.

    Attributes
    ----------
    kind : str
        ``"path"``, ``"FASTNN_DATA"``, ``"bundled"``, ``"cache"``, ``"system"``, or ``"download"`` if it is not on this
        machine yet.
    folder : Path
        The folder that holds the files; for ``"download"``, the one that they will be put into.
    files : tuple of Path
        The files in the order x_train, y_train, x_test, y_test.
    """

    kind: str
    folder: Path
    files: tuple[Path, ...]


def names():
    """Return the names of the data sets, as a tuple of str."""
    return tuple(CATALOGUE)


def info(name):
    """Return what is known of a data set without reading it.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Dataset
        With attributes ``name``, ``title``, ``train`` and ``test`` (numbers of images), ``class_names``, ``licence``,
        ``credit``, ``homepage``, ``mirrors`` and ``files`` (each with ``name``, ``size`` and ``sha256``).

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    try:
        return CATALOGUE[name]
    except (KeyError, TypeError):
        nearest = difflib.get_close_matches(str(name).lower(), CATALOGUE, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"unknown data set {name!r}.{hint} There are: {', '.join(CATALOGUE)}.") from None


def class_names(name):
    """Return the names of a data set's classes: a tuple of str, in the order of the labels.

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    return info(name).class_names


def locate(name, *, path=None):
    """Tell where `load` would take a data set from, without reading or downloading anything.

    Parameters
    ----------
    name : str
        One of `names`.
    path : str or path-like, optional
        As in `load`.

    Returns
    -------
    Location

    Raises
    ------
    ValueError
        If there is no such data set.
    FileNotFoundError
        If it is nowhere on this machine and cannot be downloaded: it is not under the `path` given.
    """
    dataset = info(name)
    for location in _search(dataset, path):
        if all(location.files):
            return location
    if path is None and dataset.mirrors:
        folder = _cache_folder(dataset)
        return Location("download", folder, tuple(folder / file.name for file in dataset.files))
    raise FileNotFoundError(
        f"{dataset.name} was not found. Searched:\n{_describe_search(dataset, path)}\n"
        f"Its files are: {', '.join(file.name for file in dataset.files)} (or the same without .gz)."
    )


def load(name, *, path=None):
    """Load a data set, downloading it if it is not on this machine.

    It is looked for in the sub-folder ``<name>`` of each folder in the environment variable ``FASTNN_DATA``
    (separated as in ``PATH``), in fastnn's own files, in the user's cache and in ``/usr/share/datasets``. The
    first folder with all four IDX files, compressed or not, is used. If there is none, the data set is downloaded
    into the cache and its checksum compared.

    Parameters
    ----------
    name : str
        One of `names`: ``"fashion-mnist-mini"`` comes with fastnn; ``"fashion-mnist"`` and ``"mnist"`` are downloaded
        once.
    path : str or path-like, optional
        A folder that holds the files, or a sub-folder ``<name>`` with them. Only this folder is then searched, and
        nothing is downloaded.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images, uint8 of shape (n, 28, 28), and labels, uint8 of shape (n,).

    Raises
    ------
    ValueError
        If there is no such data set, if a file that was found is damaged (its name is in the message; nothing is
        downloaded in its place), or if every mirror sent a file with another checksum.
    FileNotFoundError
        If the files are not under the `path` given.
    ConnectionError
        If the data set is not on this machine and no mirror could be reached. The message says what to do.

    Examples
    --------
    >>> import fastnn
    >>> (x_train, y_train), (x_test, y_test) = fastnn.datasets.load("fashion-mnist-mini")
    >>> x_train.shape, y_train.shape
    ((6000, 28, 28), (6000,))
    """
    dataset = info(name)
    location = locate(name, path=path)
    if location.kind == "download":
        _download(dataset, location.folder)
    x_train, y_train, x_test, y_test = location.files
    try:
        return _read_pair(dataset, x_train, y_train), _read_pair(dataset, x_test, y_test)
    except ValueError as error:
        if location.kind != "cache":
            raise
        raise ValueError(f"{error}. Delete the file, and it will be downloaded anew.") from error


def _search(dataset, path):
    """Yield a Location for every folder to search, in order, with None for each file that is not there."""
    for kind, folder in _folders(dataset, path):
        yield Location(kind, folder, tuple(_file_in(folder, file.name) for file in dataset.files))


def _folders(dataset, path):
    """Yield (kind, folder) in the order of the search. Lazily: the cache's place costs an import of pooch."""
    if path is not None:
        yield "path", Path(path)
        yield "path", Path(path) / dataset.name
        return
    for entry in os.environ.get("FASTNN_DATA", "").split(os.pathsep):
        if entry:
            yield "FASTNN_DATA", Path(entry).expanduser() / dataset.name
    if dataset.mirrors:
        yield "cache", _cache_folder(dataset)
    for folder in dataset.folders:
        yield "system" if dataset.mirrors else "bundled", folder


def _cache_folder(dataset):
    """The folder that downloads of this data set are kept in."""
    import pooch

    return Path(pooch.os_cache("fastnn")) / dataset.name


def _file_in(folder, name):
    """The path of a file in a folder, compressed or not, or None."""
    for candidate in (folder / name, folder / name.removesuffix(".gz")):
        if candidate.is_file():
            return candidate
    return None


def _describe_search(dataset, path):
    """A line for each folder searched in vain, with what was wrong there."""
    lines = []
    for location in _search(dataset, path):
        folder = location.folder
        if any(location.files):
            pairs = zip(dataset.files, location.files, strict=True)
            fault = f"lacks {', '.join(file.name for file, found in pairs if not found)}"
        elif folder.is_dir():
            fault = "has none of the files"
        elif location.kind == "FASTNN_DATA" and not folder.parent.is_dir():
            fault = f"does not exist, nor does {folder.parent}"
        else:
            fault = "does not exist"
        lines.append(f"  {folder} ({location.kind}): {fault}")
    return "\n".join(lines)


def _read_pair(dataset, images, labels):
    """Read a file of images and a file of labels; raise ValueError unless they are that and belong together."""
    x, y = read_idx(images), read_idx(labels)
    if x.dtype != "uint8" or x.ndim != 3 or x.shape[1:] != (28, 28):
        raise ValueError(f"{images}: expected uint8 images of shape (n, 28, 28), found {x.dtype} {x.shape}")
    if y.dtype != "uint8" or y.ndim != 1:
        raise ValueError(f"{labels}: expected uint8 labels of shape (n,), found {y.dtype} {y.shape}")
    if len(x) != len(y):
        raise ValueError(f"{labels}: expected {len(x)} labels, one an image of {images}, found {len(y)}")
    classes = len(dataset.class_names)
    if y.size and y.max() >= classes:
        raise ValueError(f"{labels}: expected labels from 0 to {classes - 1}, found {y.max()}")
    return x, y


def _download(dataset, folder):
    """Put the files that are missing, or differ from the published ones, into `folder`; each whole or not at all."""
    for file in dataset.files:
        failures, arrived = [], False
        for mirror in dataset.mirrors:
            try:
                _download_file(mirror + file.name, folder, file)
                break
            except ValueError as error:  # from pooch: another checksum; it has deleted what it got
                arrived = True
                failures.append((mirror, "sent a file with another checksum", error))
            except OSError as error:  # requests' exceptions are OSErrors too
                failures.append((mirror, _reason(error), error))
        else:
            tried = "\n".join(f"  {mirror}{file.name}: {reason}" for mirror, reason, _ in failures)
            message = (
                f"{dataset.name} is not on this machine, and {file.name} could not be downloaded. Tried:\n{tried}\n"
                f"What to do: put the files ({', '.join(each.name for each in dataset.files)}) into {folder}, or set "
                f"FASTNN_DATA to a folder whose sub-folder {dataset.name} holds them. Searched before:\n"
                f"{_describe_search(dataset, None)}\n"
                f"fashion-mnist-mini comes with fastnn and needs no download."
            )
            raise (ValueError if arrived else ConnectionError)(message) from failures[-1][2]


def _download_file(url, folder, file):
    """Download one file: pooch takes a temporary file, compares the checksum, and renames or deletes."""
    import pooch

    def fetch(url, output_file, _):
        # Not pooch's own downloader: that one leaves the connection open when a download breaks off.
        import requests
        from tqdm import tqdm

        # The checksum is that of the compressed file, so nobody may decompress it on the way. The limit is one of
        # seconds without a byte, not of the whole download.
        headers = {"Accept-Encoding": "identity"}
        with requests.get(url, stream=True, timeout=30, headers=headers) as response, open(output_file, "wb") as out:
            response.raise_for_status()
            watched = sys.stderr is not None and sys.stderr.isatty()  # a bar would only litter a log
            with tqdm(total=file.size, desc=file.name, unit="B", unit_scale=True, disable=not watched) as bar:
                for chunk in response.iter_content(1 << 16):
                    bar.update(out.write(chunk))

    pooch.retrieve(url, f"sha256:{file.sha256}", fname=file.name, path=folder, downloader=fetch)


def _reason(error):
    """The innermost cause of a failed request, in a line: the outer ones repeat the address and object ids."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return f"{type(error).__name__}: {error}"
