"""Matched marks of two photos: lines over a query and a candidate side by side, in one drawing that scales."""

from __future__ import annotations

from markupsafe import Markup

from ensemble.registry.matched_points import Matched
from ensemble.report.charts.svg import tag
from ensemble.report.page.photos import GalleryRow, Match, Shot

# room of each photo and between the two, in the drawing's own units: a small copy fits without being enlarged
WIDTH, HEIGHT, GAP = 208.0, 156.0, 6.0


def match_of(query: Shot, candidate: Shot, place: int, found: Matched) -> Match | None:
    """What there is to draw: marks that both small copies show, for these may be cropped; None where there are none.

    Parameters
    ----------
    query, candidate : Shot
    place : int
        The candidate's among the row's.
    found : Matched
    """
    if query.data_uri is None or candidate.data_uri is None:
        return None
    points = [(*_in_area(x, y, query), *_in_area(to_x, to_y, candidate)) for x, y, to_x, to_y in found.points.tolist()]
    inside = [point for point in points if all(0 <= share <= 1 for share in point)]
    if not inside:
        return None
    drawn = f"{len(inside)} of {found.count:,}" if len(inside) < found.count else f"{found.count:,}"
    marks = "matched mark" if found.count == 1 else "matched marks"
    return Match(place, inside, f"{found.source}: {drawn} {marks} with {candidate.caption[0]}")


def _in_area(x: float, y: float, shot: Shot) -> tuple[float, float]:
    """Shares of the whole photo as shares of what a small copy shows."""
    left, upper, right, lower = shot.area
    return (x - left) / (right - left), (y - upper) / (lower - upper)


def photo(shot: Shot, key: str) -> Markup:
    """A photo that drawings on the page can show again by its key: its bytes are there once."""
    width, height = shot.size
    image = tag("image", id=key, href=shot.data_uri, width=float(width), height=float(height))
    return tag("svg", image, class_="photo", viewBox=f"0 0 {width} {height}", role="img", aria_label=shot.image)


def pair(row: GalleryRow, match: Match, key: str) -> Markup:
    """The row's query and a candidate side by side, and a line between each two marks.

    Parameters
    ----------
    row : GalleryRow
    match : Match
    key : str
        Of the row: its query was shown by `photo` with the key `{key}-0`, the first candidate with `{key}-1`.
    """
    candidate = row.candidates[match.candidate]
    left, right = _Placed(row.query, WIDTH, before=True), _Placed(candidate, WIDTH + GAP)
    lines, dots = [], []
    for x, y, to_x, to_y in match.points:
        start, end = left.at(x, y), right.at(to_x, to_y)
        lines.append(f"M{start}L{end}")
        # a line of no length with round ends is a dot
        dots += [f"M{start}h0", f"M{end}h0"]
    return tag(
        "svg",
        tag("use", href=f"#{key}-0", transform=left.transform),
        tag("use", href=f"#{key}-{match.candidate + 1}", transform=right.transform),
        tag("path", d="".join(lines), class_="lines"),
        tag("path", d="".join(dots), class_="dots"),
        class_="pair",
        viewBox=f"0 0 {2 * WIDTH + GAP:g} {HEIGHT:g}",
        role="img",
        aria_label=f"{row.query.image} and {candidate.image}: {match.caption}",
    )


class _Placed:
    """A small copy in its room: as large as fits, from an edge on or, with `before`, up to it."""

    def __init__(self, shot: Shot, edge: float, *, before: bool = False) -> None:
        self.width, self.height = shot.size
        self.scale = min(WIDTH / self.width, HEIGHT / self.height)
        self.x = edge - self.scale * self.width if before else edge
        self.y = (HEIGHT - self.scale * self.height) / 2

    @property
    def transform(self) -> str:
        return f"translate({self.x:.2f} {self.y:.2f}) scale({self.scale:.4f})"

    def at(self, x: float, y: float) -> str:
        return f"{self.x + x * self.width * self.scale:.1f} {self.y + y * self.height * self.scale:.1f}"
