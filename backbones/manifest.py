"""What stands beside a store's embeddings, and which labels its network had seen."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

from cv.errors import FinblendError
from cv.files import read_json

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Seen:
    """Which labels of this catalogue a network had seen when it was trained.

    Attributes
    ----------
    kind : {"frozen", "fold", "full"}
        None of them; all but one fold's; all.
    fold : int or None
        The fold that it had not seen, for kind "fold".

    Examples
    --------
    >>> str(Seen("fold", 3)), str(Seen("frozen"))
    ('fold-3', 'frozen')
    """

    kind: str
    fold: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in {"frozen", "fold", "full"}:
            raise FinblendError(f"seen must be frozen, fold or full, but got {self.kind!r}")
        if (self.kind == "fold") != (self.fold is not None):
            raise FinblendError(
                f"a fold number goes with kind fold and no other, but got {self.kind!r}, fold={self.fold}"
            )

    def __str__(self) -> str:
        return self.kind if self.fold is None else f"fold-{self.fold}"

    @classmethod
    def parse(cls, text: str) -> Seen:
        """The reverse of `str`."""
        kind, _, fold = text.partition("-")
        if fold and not fold.isdecimal():
            raise FinblendError(f"a fold is a whole number >= 0, but got {text!r}")
        return cls(kind, int(fold) if fold else None)


@dataclass(frozen=True)
class Manifest:
    """What stands beside a store's embeddings.

    Attributes
    ----------
    model : str
    seen : str
        `str(Seen)`.
    views : dict of str to int
        Width of each view, in order.
    photos : dict of str to int
        Number of rows per split.
    images_sha256 : dict of str to str
        Hash of the image names per split: rows belong to these photos in this order.
    files : dict of str to str
        SHA-256 of each Arrow file.
    content_sha256 : str
        Hash of the embeddings themselves, whatever the model is called.
    predictions : list of str
        Columns the model predicted beside its embeddings.
    weights_sha256, transform : str or None
        Hash of the network's weights and how photos were shown to it, where known: one line a call that added views.
    sources : dict of str to str
        The files it was registered from.
    made_by : str
        finblend's version.
    versions : dict of str to str
        The libraries that made the embeddings, where finblend made them.
    unreadable : dict of str to str
        Photos that could not be read, with the reason; each stands as a random direction, which resembles nobody.
    format : int
    """

    model: str
    seen: str
    views: dict[str, int]
    photos: dict[str, int]
    images_sha256: dict[str, str]
    files: dict[str, str]
    content_sha256: str
    predictions: list[str] = field(default_factory=list)
    weights_sha256: str | None = None
    transform: str | None = None
    sources: dict[str, str] = field(default_factory=dict)
    made_by: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a manifest; unknown keys and other formats are refused."""
        value = read_json(path)
        if not isinstance(value, dict):
            raise FinblendError(f"{path}: is not a store's manifest")
        unknown = sorted(value.keys() - {f.name for f in fields(cls)})
        if unknown or value.get("format") != FORMAT:
            what = (
                f"unknown key '{unknown[0]}'"
                if unknown
                else f"format {value.get('format')}, this finblend reads {FORMAT}"
            )
            raise FinblendError(f"{path}: {what}")
        try:
            manifest = cls(**value)
        except TypeError as error:
            raise FinblendError(f"{path}: is incomplete ({error})") from None
        for name in ("views", "photos", "images_sha256", "files", "sources", "versions", "unreadable"):
            if not isinstance(getattr(manifest, name), dict):
                raise FinblendError(f"{path}: {name} must be a mapping, but got {getattr(manifest, name)!r}")
        if not isinstance(manifest.predictions, list):
            raise FinblendError(f"{path}: predictions must be a list, but got {manifest.predictions!r}")
        try:
            Seen.parse(str(manifest.seen))
        except FinblendError as error:
            raise FinblendError(f"{path}: {error}") from None
        return manifest
