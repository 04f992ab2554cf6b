"""Species that are given, or predicted by a registered model, and what a damaged cache does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from retrievals import retriever_with
from small import Small

from backbones import Embeddings
from cv.errors import FinblendError
from ensemble import Project, init, register, submit, tune
from ensemble.registry.models import require_models
from ensemble.retrieval.selection import choose_whitening


def registered(small: Small, folder: Path, train: np.ndarray | None, test: np.ndarray | None) -> list[str]:
    arrays = small.noisy(1)
    told = [{} if values is None else {"pred_species": values} for values in (train, test)]
    given = [
        Embeddings({"orig": array}, images, predictions=predictions)
        for array, images, predictions in zip(arrays, (small.train_images, small.test_images), told, strict=True)
    ]
    return register(folder, "m", frozen=True, train=given[0], test=given[1])["warnings"]


def mismatches(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    retriever = retriever_with(folder)
    return retriever.out_of_fold().species.mismatch, retriever.of_test().species.mismatch


def test_predicted_species_are_averaged_into_the_vote(small: Small, tmp_path: Path) -> None:
    plain, told = tmp_path / "plain", tmp_path / "told"
    for folder in (plain, told):
        init(folder, train=small.train_csv, test=small.sample_csv)
    assert registered(small, plain, None, None) == []
    truth = np.array([["beluga", "fin_whale"].index(s) for s in small.species])
    assert registered(small, told, truth, np.zeros(12, dtype=np.int64)) == []
    before, after = mismatches(plain), mismatches(told)
    wrong = 1 - truth
    rows = np.arange(len(truth))
    assert (after[0][rows, wrong] >= before[0][rows, wrong]).all()
    assert (after[1][:, 0] <= before[1][:, 0]).all()
    assert (after[1] != before[1]).any()


@pytest.mark.parametrize("wrong", ["train in another order", "one test photo of a strange species"])
def test_predictions_that_do_not_fit_are_told_and_used_in_neither_split(
    small: Small, tmp_path: Path, wrong: str
) -> None:
    plain, told = tmp_path / "plain", tmp_path / "told"
    for folder in (plain, told):
        init(folder, train=small.train_csv, test=small.sample_csv)
    registered(small, plain, None, None)
    truth = np.array([["beluga", "fin_whale"].index(s) for s in small.species])
    test = np.zeros(12, dtype=np.int64)
    if wrong.startswith("train"):
        truth = 1 - truth
    else:
        test[5] = 7
    assert "not used" in registered(small, told, truth, test)[0]
    for before, after in zip(mismatches(plain), mismatches(told), strict=True):
        np.testing.assert_array_equal(before, after)


def test_species_given_for_test_photos_count_out_of_fold_too(small: Small, tmp_path: Path) -> None:
    given = small.folder / "species.csv"
    pl.DataFrame({"image": small.test_images, "species": ["beluga"] * 12}).write_csv(given)
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv, test_species=f"{given}:species")
    registered(small, tmp_path / "P", None, None)
    out_of_fold, test = mismatches(tmp_path / "P")
    assert test.tolist() == [[0.0, 1.0]] * 12
    assert out_of_fold.tolist() == [[0.0, 1.0] if s == "beluga" else [1.0, 0.0] for s in small.species]


def test_a_damaged_cache_is_computed_again(small: Small, tmp_path: Path) -> None:
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    registered(small, tmp_path / "P", None, None)
    tune(tmp_path / "P", trials=0, new_share=0.15, nested_trials=0)
    submit(tmp_path / "P", tmp_path / "whole.csv")
    spoilt = 0
    for entry in sorted((tmp_path / "P" / "cache").glob("*-test*")):
        arrays = sorted(entry.glob("*.npy"))
        spoilt += len(arrays)
        for n, array in enumerate(arrays):
            # gone, no array at all, cut short
            if n % 3 == 0:
                array.unlink()
            else:
                array.write_bytes(b"\x93NUMPY" if n % 3 == 1 else array.read_bytes()[:-1])
    assert spoilt > 20
    submit(tmp_path / "P", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("kind", ["votes", "nearest", "kin", "evidence", "pruned"])
def test_one_damaged_entry_among_good_ones_is_computed_again(small: Small, tmp_path: Path, kind: str) -> None:
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    registered(small, tmp_path / "P", None, None)
    tuned = tune(tmp_path / "P", trials=0, new_share=0.15, nested_trials=0)
    for entry in (tmp_path / "P" / "cache").glob(f"{kind}-*"):
        for array in entry.glob("*.npy"):
            array.write_bytes(array.read_bytes()[:-1])
    again = tune(tmp_path / "P", trials=0, new_share=0.15, nested_trials=0)
    assert (again["map5"], again["weights"]) == (tuned["map5"], tuned["weights"])


def test_the_likeliest_species_is_the_one_without_doubt(small: Small, tmp_path: Path) -> None:
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    registered(small, tmp_path / "P", None, None)
    project = Project.open(tmp_path / "P")
    retriever = retriever_with(project)
    for query_set in (retriever.out_of_fold(), retriever.of_test()):
        species, n = query_set.species, len(query_set.images)
        assert (species.mismatch[np.arange(n), species.likely] == 0.0).all()
        assert query_set.species_names == ["beluga", "fin_whale"]
        assert species.of_individual.tolist() == project.catalogue.species_of_individual.tolist()


def test_whitening_is_not_chosen_where_a_fold_cannot_fit_it(small: Small, tmp_path: Path) -> None:
    folds = small.folder / "folds.csv"
    # the gallery of fold 1 is fold 0: one photo of each individual, so no spread within any
    seen: set[str] = set()
    values = [0 if i not in seen and not seen.add(i) else 1 for i in small.individuals]
    pl.DataFrame({"image": small.train_images, "fold": values}).write_csv(folds)
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv, folds=f"{folds}:fold")
    registered(small, tmp_path / "P", None, None)
    project = Project.open(tmp_path / "P")
    assert choose_whitening(project, require_models(project)) == {"m": "none"}


def test_names_beside_a_table_that_has_its_own_are_refused(small: Small, tmp_path: Path) -> None:
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    paths = {}
    for split, images, array in zip(
        ("train", "test"), (small.train_images, small.test_images), small.noisy(1), strict=True
    ):
        paths[split] = small.folder / f"{split}.parquet"
        pl.DataFrame({"image": images, "embedding": array.tolist()}).write_parquet(paths[split])
    names = small.folder / "names.txt"
    names.write_text("\n".join(reversed(small.train_images)))
    with pytest.raises(FinblendError, match="names of its own"):
        register(tmp_path / "P", "m", frozen=True, **paths, train_names=names)
    assert not (tmp_path / "P" / "stores").exists()
