"""A project's stores: which may be added, under which flag, and adding one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backbones.embeddings import Embeddings
from backbones.manifest import Manifest, Seen
from backbones.store import Store, write_store
from cv.errors import FinblendError
from ensemble.project.folder import MODEL_NAME, Project
from ensemble.project.lock import locked


def seen_by(project: Project, fold: int | None, frozen: bool, full: bool) -> Seen:
    """What --fold K, --frozen or --full says; exactly one of them."""
    if (fold is not None) + frozen + full != 1:
        raise FinblendError("say what the network had seen: exactly one of --frozen, --fold K and --full")
    if fold is not None and fold not in project.catalogue.fold_ids:
        raise FinblendError(f"--fold {fold}: the project's folds are {', '.join(map(str, project.catalogue.fold_ids))}")
    return Seen("fold", int(fold)) if fold is not None else Seen("frozen" if frozen else "full")


def check_place(
    project: Project, model: str, seen: Seen, views: Sequence[str] | None = None, *, replace: bool = False
) -> Store | None:
    """The store that further views are to join, or None where a new one is to be made; refuse what may not be.

    Parameters
    ----------
    project : Project
    model : str
    seen : Seen
    views : sequence of str, optional
        The views that come; None where they are not known yet.
    replace : bool
        Whether a store that is there goes.
    """
    refuse_odd_name(model)
    if model in project.pair_stores():
        raise FinblendError(f"{model}: is a pair source of {project.folder}; a model needs another name")
    stores_of_model = project.stores().get(model, {})
    existing = None if replace else stores_of_model.get(str(seen))
    if existing is not None:
        shared = [view for view in views or [] if view in existing.views]
        if views is None or shared:
            names = shared or existing.views
            which = f"the {'view' if len(names) == 1 else 'views'} {' and '.join(names)}"
            raise FinblendError(
                f"{model} is already registered as {seen} with {which}; use --replace to register it again"
            )
    others = sorted(name for name in stores_of_model if (name == "frozen") != (seen.kind == "frozen"))
    if others:
        raise FinblendError(
            f"{model} is registered as {others[0]}: one network is either frozen or trained on this catalogue"
        )
    return existing


@contextlib.contextmanager
def held_place(project: Project, model: str, seen: Seen) -> Iterator[None]:
    """Keep other processes from a store's place while its photos are embedded, or refuse because one holds it."""
    refuse_odd_name(model)
    with locked(project.cache / "embed" / f"{model}-{seen}.lock", f"{project.folder}: {model} {seen}"):
        yield


def add_store(
    project: Project,
    model: str,
    seen: Seen,
    splits: Mapping[str, Embeddings],
    facts: Mapping[str, Any],
    *,
    existing: Store | None = None,
    attachments: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Write a store where `check_place` allowed it, joining the views of the one that is there.

    Parameters
    ----------
    project : Project
    model : str
    seen : Seen
    splits : mapping of {"train", "test"} to Embeddings
        Aligned to the catalogue.
    facts : mapping
        Further values of the manifest.
    existing : Store, optional
        What `check_place` returned.
    attachments : mapping of file name to bytes, optional

    Raises
    ------
    FinblendError
        If widths differ from the model's other stores, or the same embeddings or weights stand under another flag.
    """
    stores = project.stores()
    if existing is not None:
        splits = {split: _joined(existing, embeddings, split) for split, embeddings in splits.items()}
        facts = _joined_facts(existing.manifest, facts)
    _refuse_other_width(model, splits["train"], stores.get(model, {}), seen)
    kept = {} if existing is None else {path.name: path.read_bytes() for path in existing.folder.glob("classes*")}
    store = write_store(
        project.store_folder(model, seen),
        model,
        seen,
        splits,
        facts,
        attachments=kept | dict(attachments or {}),
        accept=lambda manifest: _refuse_same_embeddings(manifest.content_sha256, model, seen, stores),
    )
    return store.manifest


def refuse_odd_name(name: str, what: str = "model") -> None:
    """Models and pair sources are folders of a project: their names are as plain as that needs."""
    if not MODEL_NAME.fullmatch(name):
        raise FinblendError(f"{what} name '{name}': letters, digits, '.', '_' and '-' only, a letter or digit first")


def refuse_weights_elsewhere(project: Project, weights: str | None, model: str, seen: Seen) -> None:
    """One network has seen one thing: its weights cannot stand under two flags."""
    for other, kinds in project.stores().items():
        for kind, store in kinds.items():
            if weights and kind != str(seen) and store.manifest.weights_sha256 == weights:
                raise FinblendError(
                    f"{model}: the same weights are registered as {other} {kind}; "
                    "one network cannot have seen two things"
                )


def _joined(store: Store, more: Embeddings, split: str) -> Embeddings:
    """A further view of photos that are registered already."""
    views = {view: store.embedding(split, view) for view in store.views}
    predictions = {name: store.prediction(split, name) for name in store.manifest.predictions}
    return dataclasses.replace(more, views={**views, **more.views}, predictions={**predictions, **more.predictions})


def _joined_facts(existing: Manifest, new: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of the views that are there stay true beside those of the new ones."""
    sources = dict(existing.sources)
    for name, source in (new.get("sources") or {}).items():
        if sources.get(name, source) != source:
            name = f"{name} of the views after {len(existing.views)}"  # noqa: PLW2901 - a further file of the same kind
        sources[name] = source
    lines = [line for line in (existing.transform, new.get("transform")) if line]
    return {
        **new,
        "sources": sources,
        "transform": "\n".join(dict.fromkeys("\n".join(lines).splitlines())) or None,
        "versions": existing.versions | (new.get("versions") or {}),
        "unreadable": existing.unreadable | (new.get("unreadable") or {}),
    }


def _refuse_other_width(model: str, train: Embeddings, stores_of_model: dict[str, Store], seen: Seen) -> None:
    """A model's folds are made by one architecture: a view has one width."""
    widths = {view: array.shape[1] for view, array in train.views.items()}
    if len(set(widths.values())) > 1:
        raise FinblendError(f"{train.source}: views have the widths {widths}; one network gives one width")
    for view, array in train.views.items():
        for name, store in stores_of_model.items():
            width = store.manifest.views.get(view)
            if name != str(seen) and width not in (None, array.shape[1]):
                raise FinblendError(
                    f"{train.source}: view {view} is {array.shape[1]} wide, but {model} {name} has it {width} wide"
                )


def _refuse_same_embeddings(content: str, model: str, seen: Seen, stores: dict[str, dict[str, Store]]) -> None:
    for other, kinds in stores.items():
        for kind, store in kinds.items():
            if (other, kind) == (model, str(seen)) or store.manifest.content_sha256 != content:
                continue
            rule = "once is enough" if kind == str(seen) else "one network cannot have seen two things"
            raise FinblendError(f"{model}: the same embeddings are registered as {other} {kind}; {rule}")
