"""What a blend may use: models whose stores can be scored out-of-fold, and the spaces they are compared in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backbones.store import Store
from cv.errors import FinblendError
from ensemble.project.folder import Project
from postproc.neighbours.search import Space

USES = ("folds", "full", "both")


@dataclass(frozen=True)
class Model:
    """One model with all its stores.

    Attributes
    ----------
    name : str
    frozen : Store or None
    folds : mapping of int to Store
    full : Store or None
    """

    name: str
    frozen: Store | None
    folds: Mapping[int, Store]
    full: Store | None

    @property
    def views(self) -> list[str]:
        """View names, in order."""
        return (self.frozen or next(iter(self.folds.values()))).views

    def out_of_fold_store(self, fold: int) -> Store:
        """The store whose network never saw this fold's labels."""
        return self.frozen or self.folds[fold]

    def out_of_fold(self, fold: int) -> Space:
        """The one space in which this fold's photos may be scored: their labels were never seen there."""
        store = self.out_of_fold_store(fold)
        train = tuple(store.embedding("train", view) for view in self.views)
        return Space((train,), (train,))

    def unseen(self, fold: int) -> Space:
        """Test photos as queries and all train photos as gallery, in the space that never saw the fold's labels."""
        store = self.out_of_fold_store(fold)
        return Space(
            (tuple(store.embedding("test", view) for view in self.views),),
            (tuple(store.embedding("train", view) for view in self.views),),
        )

    def test_stores(self, use: str) -> list[Store]:
        """The stores that name test photos; with "full" or "both" a model without a full store keeps its folds."""
        if self.frozen is not None:
            return [self.frozen]
        folds = [self.folds[fold] for fold in sorted(self.folds)]
        if self.full is None or use == "folds":
            return folds
        return [self.full] if use == "full" else [*folds, self.full]

    def test(self, use: str) -> Space:
        """All train photos as gallery; a pair's cosines are averaged over the stores."""
        stores = self.test_stores(use)
        return Space(
            tuple(tuple(store.embedding("test", view) for view in self.views) for store in stores),
            tuple(tuple(store.embedding("train", view) for view in self.views) for store in stores),
        )

    def out_of_fold_contents(self) -> list[str]:
        """Hashes of the embeddings that out-of-fold scores rest on."""
        stores = [self.frozen] if self.frozen else [self.folds[fold] for fold in sorted(self.folds)]
        return [store.manifest.content_sha256 for store in stores]


def usable_models(project: Project) -> tuple[dict[str, Model], dict[str, str]]:
    """Sort the registered models into those that can be scored out-of-fold and those that cannot.

    Returns
    -------
    usable : dict of name to Model
    refused : dict of name to the reason
    """
    usable: dict[str, Model] = {}
    refused: dict[str, str] = {}
    catalogue = project.catalogue
    images = {"train": catalogue.train_images, "test": catalogue.test_images}
    for name, stores in project.stores().items():
        folds = {store.seen.fold: store for store in stores.values() if store.seen.fold is not None}
        model = Model(name, stores.get("frozen"), {f: s for f, s in folds.items() if f is not None}, stores.get("full"))
        missing = [fold for fold in catalogue.fold_ids if fold not in model.folds]
        if model.frozen is None and not model.folds:
            refused[name] = (
                f"{name}: has only a --full store, which has seen every label and can score none; "
                "register its folds too"
            )
        elif model.frozen is None and missing:
            refused[name] = f"{name}: fold {', '.join(map(str, missing))} is not registered; a model needs every fold"
        elif len({tuple(sorted(store.manifest.views.items())) for store in stores.values()}) > 1:
            views = "; ".join(f"{kind}: {', '.join(store.views)}" for kind, store in stores.items())
            refused[name] = f"{name}: its stores have different views ({views}); register the missing ones with --view"
        else:
            for store in stores.values():
                store.verify(images)
            usable[name] = model
    return usable, refused


def require_models(project: Project, names: list[str] | None = None) -> dict[str, Model]:
    """The models of a blend, or one clear refusal.

    Parameters
    ----------
    project : Project
    names : list of str, optional
        Which models; all by default, and then none may be unusable.
    """
    usable, refused = usable_models(project)
    for name, reason in refused.items():
        if names is None or name in names:
            raise FinblendError(reason)
    unknown = [name for name in names or [] if name not in usable]
    if unknown:
        raise FinblendError(
            f"{unknown[0]}: is not registered in {project.folder}; it has {', '.join(usable) or 'no models'}"
        )
    refuse_no_models(project)
    return usable if names is None else {name: usable[name] for name in names}


def refuse_no_models(project: Project) -> None:
    """Refuse a project in which no model is registered."""
    if not project.stores():
        raise FinblendError(
            f"{project.folder}: no model is registered; use 'finblend register {project.folder} NAME ...'"
        )
