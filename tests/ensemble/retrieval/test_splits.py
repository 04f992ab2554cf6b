"""A retrieval task says whose photos its queries are: what is tried on train photos is never taken for test's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from planted import FOLDS
from retrievals import retriever_with

import ensemble.retrieval.selection
from ensemble import Project, merge
from ensemble.project.pseudo_rounds import gallery_of
from ensemble.registry.models import require_models
from ensemble.retrieval.selection import choose_operators
from ensemble.retrieval.task import RetrievalTask
from postproc import NOBODY


def test_an_operator_is_tried_on_train_photos(project: Path, sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With named test photos in the gallery, too: no train photo is one of them."""
    merge(project, sets, kind="gallery", force=True)
    opened, asked, real = Project.open(project), list[RetrievalTask](), ensemble.retrieval.selection.nearest

    def noted(task: RetrievalTask, *rest: Any) -> Any:
        asked.append(task)
        return real(task, *rest)

    monkeypatch.setattr(ensemble.retrieval.selection, "nearest", noted)
    choose_operators(opened, require_models(opened, ["frozen"]), {}, ("query-expansion",))
    assert {task.name for task in asked} == {f"choice{fold}" for fold in FOLDS}
    for task in asked:
        assert task.split == "train"
        assert (opened.catalogue.folds[task.rows] == task.fold).all()
        assert (task.gallery.own(task.rows) == NOBODY).all()


def test_tasks_of_every_query_set_say_their_split(project: Path, sets: Path) -> None:
    merge(project, sets, kind="gallery", force=True)
    retriever = retriever_with(project)
    assert [task.split for task in retriever.out_of_fold().tasks] == ["train"] * len(FOLDS)
    test = [retriever.of_test(), *(retriever.of_test_without(fold) for fold in FOLDS)]
    assert [[task.split for task in query_set.tasks] for query_set in test] == [["test"]] * (1 + len(FOLDS))
    # a photo that is in the gallery itself is not met, and only a test photo can be
    added = gallery_of(Project.open(project)).sets["full"]
    (task,) = retriever.of_test().tasks
    assert set((task.gallery.own(task.rows) != NOBODY).nonzero()[0].tolist()) == set(added.rows.tolist())
    for task in retriever.out_of_fold().tasks:
        assert task.added is not None
        assert (task.gallery.own(task.rows) == NOBODY).all()
