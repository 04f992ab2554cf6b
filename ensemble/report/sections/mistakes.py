"""The section on mistakes, `look` on the page: who is mistaken for whom, sure mistakes, test answers of each band."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from cv.catalogue import NEW_INDIVIDUAL, NO_SPECIES
from cv.errors import FinblendError
from ensemble.evaluation.confusions import Confusion, confident_mistakes, confusions
from ensemble.identification.posteriors import Answers
from ensemble.outputs.bands import BANDS, band_of
from ensemble.registry.matched_points import MatchedPoints
from ensemble.report.numbers import share
from ensemble.report.page.album import Album
from ensemble.report.page.marks import match_of
from ensemble.report.page.photos import GalleryRow, Match, Shot
from ensemble.report.page.pieces import Cell, Gallery, Piece, Section, Table, Text, Warnings
from ensemble.report.state import State
from postproc import NEW, NOBODY

PAIRS, PAIRS_SHOWN, MISTAKES, PER_BAND, SEED = 15, 6, 5, 4, 0
TITLE = "Photos to look at"
MEASURED = (
    "Confusions and mistakes are out-of-fold: every photo is named by models that never saw its label, with "
    "probabilities that were fitted on the other folds (the blend's weights have seen all folds), weighted to the "
    "stated mix. Test answers are a sample drawn by chance (seed 0); who is right there, nobody here knows."
)

NO_BREAK = "\N{NO-BREAK SPACE}"
# the photo of an answer ("" for somebody new), lines below it, whether it is right
Answer = tuple[str, list[str], bool]
# a photo, lines below it, its answers, and what the row shows
Row = tuple[str, list[str], list[Answer], str]


def section(state: State) -> Section | None:
    """What a person would look at first; nothing before there is a blend."""
    if state.blend is None:
        return None
    # a folder without the photos is refused, whatever else the section could tell
    album = state.album
    if state.stale is not None:
        return Section("look", TITLE, MEASURED, [Warnings([state.stale])])
    try:
        shown = _Shown(state, album)
        pieces = [*shown.confused(), *shown.mistaken(), *shown.of_test()]
    except FinblendError as error:
        # a mix that a single fold carries has no probabilities
        return Section("look", TITLE, MEASURED, [Warnings([str(error)])])
    notes: list[Piece] = [Warnings(album.notes)] if album.notes else []
    if not state.images:
        notes.append(Text("With --images and the folder of the photos, this section shows them side by side."))
    return Section("look", TITLE, MEASURED, [*notes, *pieces])


class _Shown:
    """What was answered out-of-fold and for test, and how it is shown."""

    def __init__(self, state: State, album: Album) -> None:
        cross_fitted, setup, blend, posterior_model = (
            state.cross_fitted,
            state.setup,
            state.blend,
            state.posterior_model,
        )
        if cross_fitted is None or setup is None or blend is None or posterior_model is None:
            raise FinblendError(f"{state.project.folder}: has no blend yet")
        self.state, self.album, self.evaluation_set = state, album, setup.evaluation_set
        self.cross_fitted, self.setup, self.blend, self.posterior_model = cross_fitted, setup, blend, posterior_model
        self.catalogue = state.project.catalogue
        self.answers = cross_fitted.answers
        self.rows, self.label = self.evaluation_set.row, self.evaluation_set.owner

    @property
    def first(self) -> tuple[np.ndarray, np.ndarray]:
        """First answers and their probability."""
        return self.answers.labels[:, 0], self.answers.probability[:, 0]

    def confused(self) -> list[Piece]:
        """Pairs of individuals that are mistaken for each other most."""
        pairs = confusions(self.label, *self.first, self.evaluation_set.weights, self.evaluation_set.is_new)
        if not pairs:
            return [Text("No individual is taken for another out-of-fold.")]
        header = ["one", "other", "species", "share of the mix", "photos", "of strangers"]
        note = (
            "A pair counts every photo of one whose first answer is the other. 'of strangers' counts those of somebody "
            "who was not in the gallery, or played a stranger: no name could be right there."
        )
        if len(pairs) > PAIRS:
            rest = sum(confusion.weight for confusion in pairs[PAIRS:])
            note += f" {len(pairs) - PAIRS:,} more pairs share {share(rest)} of the mix."
        rows = [self._pair(confusion) for confusion in pairs[:PAIRS]]
        table = Table("Individuals mistaken for each other most", header, rows, note, shares=("share of the mix",))
        worst = [
            (confusion.worst, f"{self._individual(confusion.pair[0])} and {self._individual(confusion.pair[1])}")
            for confusion in pairs
        ]
        title = "The surest mistake of each of the first pairs, with its five likeliest answers"
        return [table, *self._shown(title, worst[:PAIRS_SHOWN])]

    def mistaken(self) -> list[Piece]:
        """Wrong first answers with the highest probabilities."""
        labels, probability = self.first
        wrong, new = labels != self.evaluation_set.truth, self.evaluation_set.is_new
        pieces: list[Piece] = []
        shown: list[int] = []
        for kind, of_kind in (("of known individuals", ~new), ("of strangers, or of who plays one", new)):
            # a photo that plays the stranger is not shown again
            left = wrong & of_kind & ~np.isin(self.rows, shown)
            mistakes = confident_mistakes(self.rows, left, probability, MISTAKES)
            shown += self.rows[mistakes].tolist()
            notes = [(at, f"{self._name(int(labels[at]))} with {share(float(probability[at]))}") for at in mistakes]
            if notes:
                pieces += self._shown(f"Confident mistakes, photos {kind}: the wrong first answers most sure", notes)
        return pieces or [Text("No first answer is wrong out-of-fold.")]

    def of_test(self) -> list[Piece]:
        """Some test answers of each band."""
        given, photos = self._test
        band = band_of(given, self.cross_fitted.bands(self.state.precision))
        rng = np.random.default_rng(SEED)
        meanings = {
            "auto": "the name may be taken as it is",
            "review": "a person should look",
            "new": "somebody new, and nobody need look",
        }
        pieces: list[Piece] = [
            Text(
                f"Test photos by the bands of 'finblend decide' at a precision of {share(self.state.precision)}: "
                + ", ".join(f"{name} {share(float((band == n).mean()))}" for n, name in enumerate(BANDS))
                + "."
            )
        ]
        images = self.catalogue.test_images
        for n, name in enumerate(BANDS):
            in_band = np.flatnonzero(band == n)
            drawn = np.sort(rng.permutation(in_band)[:PER_BAND]).tolist()
            rows: list[Row] = [(images[at], [], self._shots(given, at, photos), "") for at in drawn]
            if rows:
                pieces += self._rows(f"{name}: {meanings[name]} ({len(drawn)} of {len(in_band):,})", rows)
        return pieces

    @property
    def _test(self) -> tuple[Answers, list[str]]:
        """Answers to the test photos, and the gallery photos they name."""
        query_set = self.setup.retriever.of_test()
        return Answers.of(self.posterior_model.posteriors(query_set)), query_set.tasks[0].gallery_images

    @cached_property
    def _gallery(self) -> dict[int | None, list[str]]:
        return {task.fold: task.gallery_images for task in self.evaluation_set.query_set.tasks}

    def _pair(self, confusion: Confusion) -> list[Cell]:
        species = {self._species(label) for label in confusion.pair}
        names = [self._individual(label) for label in confusion.pair]
        return [*names, " / ".join(sorted(species)), confusion.weight, confusion.photos, confusion.absent]

    def _shown(self, title: str, chosen: Sequence[tuple[int, str]]) -> list[Piece]:
        """Out-of-fold photos, each with its five answers."""
        rows: list[Row] = []
        for at, note in chosen:
            row = int(self.rows[at])
            truth, label = int(self.evaluation_set.truth[at]), int(self.label[at])
            individual = self._individual(label)
            # a photo of a stranger is of somebody, too, whom its gallery does not know
            lines = [f"is {individual}" if truth != NEW else f"is {individual}, not in its gallery"]
            if self._species(label) != NO_SPECIES:
                lines.append(self._species(label))
            gallery = self._gallery[int(self.catalogue.folds[row])]
            rows.append((self.catalogue.train_images[row], lines, self._shots(self.answers, at, gallery, truth), note))
        return self._rows(title, rows)

    def _shots(self, answers: Answers, at: int, gallery: Sequence[str], truth: int | None = None) -> list[Answer]:
        """The answers as photos with lines below: name, probability, the photo's own name."""
        shots = []
        for label, probability, photo in zip(
            answers.labels[at].tolist(), answers.probability[at].tolist(), answers.photo[at].tolist(), strict=True
        ):
            if label != NOBODY:
                name = self._name(label) + (" (right)" if label == truth else "")
                picture = gallery[photo] if photo >= 0 else ""
                shots.append((picture, [name, share(probability)], label == truth))
        return shots

    def _rows(self, title: str, rows: Sequence[Row]) -> list[Piece]:
        """As photos side by side, or as a table where no folder of photos is given."""
        if not self.album.images:
            with_truth = any(lines for _, lines, _, _ in rows)
            header = ["photo", *(["truth"] if with_truth else []), *(f"answer {k}" for k in range(1, 6))]
            cells: list[list[Cell]] = []
            for image, lines, shots, _ in rows:
                truth = ["; ".join(lines)] if with_truth else []
                answers = [_answer_cell(caption) for _, caption, _ in shots]
                cells.append([image, *truth, *answers, *["-"] * (5 - len(answers))])
            return [Table(title, header, cells)]
        gallery = []
        for image, lines, shots, note in rows:
            candidates = [self.album.answer(*shot) for shot in shots]
            query = self.album.shot(image, [image, *lines])
            gallery.append(GalleryRow(query, candidates, note, matches=self._matches(query, candidates)))
        return [Gallery(gallery, title)]

    def _matches(self, query: Shot, candidates: Sequence[Shot]) -> list[Match]:
        """Marks that pair sources of the blend matched on the query and its candidates."""
        train = self._row_of["train"]
        split = "train" if query.image in train else "test"
        row = self._row_of[split][query.image]
        matches = []
        for place, shot in enumerate(candidates):
            # a gallery photo may be a merged test photo, of which no pair source speaks
            found = self._points.of(split, row, train[shot.image]) if shot.image in train else None
            match = None if found is None else match_of(query, shot, place, found)
            matches += [] if match is None else [match]
        return matches

    @cached_property
    def _points(self) -> MatchedPoints:
        stores = self.state.project.pair_stores()
        return MatchedPoints({name: stores[name] for name in self.blend.pair_sources})

    @cached_property
    def _row_of(self) -> dict[str, dict[str, int]]:
        images = {"train": self.catalogue.train_images, "test": self.catalogue.test_images}
        return {split: {image: row for row, image in enumerate(names)} for split, names in images.items()}

    def _name(self, label: int) -> str:
        return NEW_INDIVIDUAL if label == NEW else self._individual(label)

    def _individual(self, label: int) -> str:
        return str(self.catalogue.individuals[label])

    def _species(self, label: int) -> str:
        return str(self.catalogue.species[int(self.catalogue.species_of_individual[label])])


def _answer_cell(caption: Sequence[str]) -> str:
    """The lines below an answer in one cell: the name may be broken, what follows may not."""
    name, *lines = caption
    return ", ".join([name, *(line.replace(" ", NO_BREAK) for line in lines)])
