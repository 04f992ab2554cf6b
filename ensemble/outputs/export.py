"""Export the blend as vectors: whitened, normalised, weighted and concatenated, so that a dot product is the blend."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cv.errors import FinblendError
from ensemble.blend.blend import Blend
from ensemble.blend.load import tuned_blend
from ensemble.outputs.vectors.blend_space import BlendSpace
from ensemble.outputs.vectors.files import NpzSink, ParquetSink
from ensemble.outputs.vectors.pgvector import PgvectorSink
from ensemble.outputs.vectors.qdrant import QdrantSink
from ensemble.outputs.vectors.sink import VectorSink
from ensemble.project.folder import Project
from ensemble.project.progress import Progress
from ensemble.project.result import Result
from ensemble.registry.models import require_models

FILES: dict[str, Callable[[Path], VectorSink]] = {"npz": NpzSink, "parquet": ParquetSink}
SERVERS: dict[str, Callable[[str, str, bool], VectorSink]] = {"pgvector": PgvectorSink, "qdrant": QdrantSink}
# where a URL with a password stands, which a command line shows to everybody
URL = "FINBLEND_URL"
_PASSWORD = re.compile(r"://[^/@]*:[^@].*@|\b(password|api_?key)\s*=", re.IGNORECASE)


@dataclass(frozen=True)
class ExportResult(Result):
    """Vectors that were written.

    Attributes
    ----------
    output : str
        The folder; or the server, without what is secret about its address.
    files : list of str
        Files, tables or collections.
    width : int
        Of a vector.
    views : list of str
    left_out : list of str
        What of this blend no dot product tells.
    """

    output: str
    files: list[str]
    width: int
    views: list[str]
    left_out: list[str]


def export(
    folder: str | Path,
    output: str | Path | None = None,
    *,
    to: str = "npz",
    url: str | None = None,
    table: str | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Write the blend's vectors: train photos as the gallery, test photos as queries.

    With trained models each fold is a space of its own (`fold-0`, ...), with frozen ones only there is one (`frozen`).
    The dot product of two vectors is the weighted mean of the models' cosines. They are for searching: weights and
    whitening have seen every label, so `register` refuses them. Memory is bounded by the block (32 MiB of vectors),
    whatever the catalogue.

    Parameters
    ----------
    folder : str or Path
    output : str or Path, optional
        For files: a folder that does not exist yet.
    to : {"npz", "parquet", "pgvector", "qdrant"}
    url : str, optional
        For servers: where one is; default: what stands in FINBLEND_URL.
    table : str, optional
        For servers: start of the names of tables or collections.
    replace : bool
        Whether what an earlier export wrote to a server may be replaced.
    progress : callable, optional
        Called with (space, vectors since the last call, total).
    """
    sink = _sink(to, output, url, table, replace)
    project = Project.open(folder)
    blend = tuned_blend(project)
    spaces = blend_spaces(project, blend, progress)
    written = sink.write(spaces)
    return ExportResult(sink.place, written, spaces[0].width, spaces[0].views, _left_out(blend))


def refuse_password(url: str | None, option: str = "--url", instead: str = f"put the whole URL into {URL}") -> None:
    """Refuse a password on a command line: the project's log of commands would keep it.

    Examples
    --------
    >>> refuse_password("postgresql://me@localhost:5432/whales")
    >>> refuse_password("postgresql://me:secret@localhost/whales")
    Traceback (most recent call last):
    cv.errors.FinblendError: --url holds a password, which logs would keep; put the whole URL into FINBLEND_URL
    """
    if url is not None and _PASSWORD.search(url):
        raise FinblendError(f"{option} holds a password, which logs would keep; {instead}")


def blend_spaces(project: Project, blend: Blend, progress: Progress | None = None) -> list[BlendSpace]:
    """The spaces of a blend, one a fold where a model is trained; nothing is computed yet."""
    weights = {name: weight for name, weight in blend.weights.items() if weight > 0}
    models = require_models(project, list(weights))
    folds: list[int | None] = [*sorted({fold for model in models.values() for fold in model.folds})]
    return [
        BlendSpace(
            project=str(project.folder),
            catalogue=project.catalogue,
            models=models,
            weights=weights,
            whitening=blend.whitening,
            fold=fold,
            progress=progress,
        )
        for fold in folds or [None]
    ]


def _sink(to: str, output: str | Path | None, url: str | None, table: str | None, replace: bool) -> VectorSink:
    if to in FILES:
        if output is None or url is not None or table is not None or replace:
            raise FinblendError(
                f"--to {to} writes files: -o names their folder; --url, --table and --replace are for servers"
            )
        return FILES[to](Path(output))
    if to not in SERVERS:
        raise FinblendError(f"--to must be one of {', '.join([*FILES, *SERVERS])}, but got '{to}'")
    url = url or os.environ.get(URL)
    if output is not None or not url or not table:
        raise FinblendError(
            f"--to {to} writes to a server: --url (or {URL}) says where, --table NAME into what; -o is for files"
        )
    return SERVERS[to](url, table, replace)


def _left_out(blend: Blend) -> list[str]:
    """What of this blend no dot product tells."""
    parts = {
        "weights of species": bool(blend.species_weights),
        f"best {blend.top_photos} photos an individual": blend.top_photos > 1,
        "species penalty": blend.species_penalty > 0,
        "background and threshold of new_individual": True,
        "second stage": blend.second_stage,
        "test photos in the gallery": bool(blend.gallery),
    }
    return [name for name, present in parts.items() if present]
