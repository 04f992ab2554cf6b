"""A retrieval task says whose photos its queries are: train photos are never taken for test's."""

from __future__ import annotations

from pathlib import Path

from planted import FOLDS
from retrievals import retriever_with

from ensemble import Project, merge
from ensemble.project.pseudo_rounds import gallery_of
from postproc import NOBODY


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
