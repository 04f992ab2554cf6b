"""Find embeddings and names among named arrays (`.npz`, `.safetensors`): by key where it is given, else by kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from backbones.embeddings import DEFAULT_VIEW, SPLITS, Embeddings
from cv.catalogue import IMAGE_COLUMNS
from cv.errors import FinblendError

# the layout of Happywhale's 1st place: its two feature arrays are the photo and its mirror image
FIRST_PLACE_VIEWS = {"embed_features1": DEFAULT_VIEW, "embed_features2": "hflip"}
PREDICTIONS = ("pred_species", "pred_idx", "pred_logit")
_NOTHING = np.zeros(())


def embeddings_from_arrays(
    arrays: Mapping[str, np.ndarray], source: str, key: str | None, split: str, *, with_names: bool = True
) -> Embeddings:
    """Build embeddings from named arrays.

    Parameters
    ----------
    arrays : mapping of str to array
    source : str
        The file, for error lines.
    key : str or None
        The embedding's key; by default the only two-dimensional array, or the only one with `split` in its key.
    split : {"train", "test"}
    with_names : bool
        Whether to look for image names; not where they come from another place.

    Raises
    ------
    FinblendError
        If the embedding or its names cannot be told without doubt; the line lists what the file holds.
    """
    views: dict[str, np.ndarray]
    if key is None and FIRST_PLACE_VIEWS.keys() & arrays.keys():
        views = {view: arrays[name] for name, view in FIRST_PLACE_VIEWS.items() if name in arrays}
    elif key is not None:
        if key not in arrays:
            raise FinblendError(f"{source}: has no key '{key}'; it holds {listing(arrays)}")
        if arrays[key].ndim != 2:
            raise FinblendError(f"{source}: {key} is no table (photos, width); it holds {listing(arrays)}")
        views = {DEFAULT_VIEW: arrays[key]}
    else:
        table = [
            name for name, a in arrays.items() if a.ndim == 2 and a.dtype.kind in "fiu" and name not in PREDICTIONS
        ]
        views = {DEFAULT_VIEW: arrays[_only(table, split, source, arrays, f"--{split} {source}:KEY", "embeddings")]}
    first = next(iter(views.values()))
    n = len(first) if first.ndim else 0
    no_names = {*PREDICTIONS, "label"}
    names = [name for name, a in arrays.items() if a.ndim == 1 and a.dtype.kind in "US" and name not in no_names]
    # the columns of a catalogue, where several of them were saved beside the embeddings; its numbers are names, too
    of_catalogue = [name for name in IMAGE_COLUMNS if name in arrays and arrays[name].shape == (n,)]
    names = [name for name in of_catalogue if arrays[name].dtype.kind in "USiu"][:1] or names
    matching = _of_split(names, split) if len(names) > 1 else names
    images: list[str] | None = None
    rows: np.ndarray | None = None
    if not with_names:
        matching = []
    if matching:
        chosen = _only(matching, split, source, arrays, f"--{split}-names {source}:KEY", "image names")
        images = text_list(arrays[chosen])
    elif "original_index" in arrays:
        rows = arrays["original_index"]
    predictions = {
        name: arrays[name]
        for name in PREDICTIONS
        if arrays.get(name, _NOTHING).shape[:1] == (n,) and arrays[name].ndim <= 2
    }
    labels = arrays.get("label")
    if labels is not None and (labels.ndim != 1 or len(labels) != n or labels.dtype.kind not in "iu"):
        labels = None
    return Embeddings(views, images, rows, predictions, labels, source)


def pick_array(arrays: Mapping[str, np.ndarray], source: str, key: str | None, split: str) -> np.ndarray:
    """Return the array that holds names: the one called `key`, or the only one of text for `split`."""
    if key is not None:
        if key not in arrays:
            raise FinblendError(f"{source}: has no key '{key}'; it holds {listing(arrays)}")
        if arrays[key].ndim != 1 or arrays[key].dtype.kind not in "US":
            raise FinblendError(f"{source}: {key} is no list of text; it holds {listing(arrays)}")
        return arrays[key]
    names = [name for name, a in arrays.items() if a.ndim == 1 and a.dtype.kind in "US"]
    return arrays[_only(names, split, source, arrays, f"--{split}-names {source}:KEY", "image names")]


def text_list(array: np.ndarray) -> list[str]:
    """Names as text, from unicode or byte strings."""
    try:
        return [str(v) for v in (np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array).tolist()]
    except UnicodeDecodeError as error:
        raise FinblendError(f"image names are not UTF-8 ({error})") from None


def listing(arrays: Mapping[str, np.ndarray]) -> str:
    """What a file holds, for error lines."""
    return ", ".join(f"{name} {a.dtype}{list(a.shape)}" for name, a in arrays.items()) or "nothing"


def _of_split(names: list[str], split: str) -> list[str]:
    """Keys that say they belong to this split; if none does, those that do not say they belong to the other."""
    other = SPLITS[1 - SPLITS.index(split)]
    of_split = [name for name in names if split in name.lower() and other not in name.lower()]
    return of_split or [name for name in names if other not in name.lower()]


def _only(names: list[str], split: str, source: str, arrays: Mapping[str, np.ndarray], flag: str, what: str) -> str:
    left: Callable[[], list[str]] = lambda: _of_split(names, split)  # noqa: E731
    matching = names if len(names) == 1 else left()
    if len(matching) == 1:
        return matching[0]
    state = "are not to be found" if not matching else f"could be {' or '.join(matching)}"
    raise FinblendError(f"{source}: the {split} {what} {state}; it holds {listing(arrays)}; choose with {flag}")
