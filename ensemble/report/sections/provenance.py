"""The section on where everything came from, and how to make it again."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from backbones.store import Store
from cv.files import sha256_of
from ensemble.project.command_log import logged_commands
from ensemble.project.pseudo_rounds import rounds
from ensemble.project.submissions import read_submissions
from ensemble.project.version import finblend_version
from ensemble.report.page.pieces import Cell, Code, Figures, Piece, Section, Table, Text, Warnings
from ensemble.report.page.words import interval
from ensemble.report.sections.commands import recipe
from ensemble.report.state import State

LIBRARIES = (
    *("numpy", "polars", "pyarrow", "scipy", "numba", "optuna", "safetensors", "rich", "typer", "jinja2"),
    *("torch", "torchvision", "timm", "lightning", "pytorch-metric-learning", "onnxruntime", "pillow", "faiss-cpu"),
)
MOST_STORES = 60
MOST_COMMANDS = 50
# digits of a hash that tell files apart; the manifests have all 64
DIGITS = 8
MEASURED = (
    "Nothing here is measured: versions are those of the machine that wrote this page, hashes are the SHA-256 that the "
    "project's own files record, or of these files now."
)


def section(state: State) -> Section:
    """Versions, stores, files, command lines; there is one at every stage."""
    lines, origin = recipe(state.project, state.stores, state.blend)
    body: list[Piece | None] = [Figures(_figures(state)), _warnings(state)]
    body += [Text(origin), Code(lines), _stores_table(state), _files_table(state), _versions_table(state)]
    body += [_board_table(state), _log_table(state)]
    return Section("provenance", "Provenance", MEASURED, [piece for piece in body if piece is not None])


def _figures(state: State) -> list[tuple[str, str]]:
    settings = state.project.settings
    figures = [
        ("finblend that wrote this page", finblend_version()),
        ("finblend that made the project", str(settings.get("finblend", "-"))),
        ("seed of the folds", "brought along" if ":" in str(settings.get("folds")) else str(settings.get("seed", "-"))),
        ("models", f"{len(state.stores):,}"),
        ("stores of embeddings", f"{sum(map(len, state.stores.values())):,}"),
        ("embeddings on disk", _size(sum(_bytes(store) for _, _, store in _stores(state)))),
    ]
    measured = state.blend.measured if state.blend else {}
    return figures + [(f"{key} of the tuning", str(measured[key])) for key in ("sampler", "seed") if key in measured]


def _warnings(state: State) -> Warnings | None:
    lines = []
    registered = {store.manifest.content_sha256 for _, _, store in _stores(state)}
    for name, hashes in (state.blend.contents if state.blend else {}).items():
        if set(hashes) - registered:
            lines.append(
                f"The blend was tuned on embeddings of {name} that are registered no more; run 'finblend tune' again."
            )
    for model, seen, store in _stores(state):
        if store.manifest.unreadable:
            lines.append(f"{model} {seen}: {len(store.manifest.unreadable):,} photos could not be read.")
    return Warnings(lines) if lines else None


def _stores_table(state: State) -> Table | None:
    rows: list[list[Cell]] = []
    for model, seen, store in _stores(state):
        manifest = store.manifest
        views = ", ".join(f"{view} {width:,}" for view, width in manifest.views.items())
        rows.append([model, seen, views, manifest.photos.get("train"), manifest.photos.get("test")])
        rows[-1] += [f"{_bytes(store) / 1e6:,.1f}", manifest.content_sha256[:DIGITS]]
        rows[-1] += [(manifest.weights_sha256 or "-")[:DIGITS], manifest.made_by or "-", _made_from(store)]
    header = ["model", "had seen", "views and widths", "train", "test", "MB"]
    header += ["embeddings", "weights", "finblend", "made from"]
    note = f"'embeddings' and 'weights' are SHA-256, cut to {DIGITS} digits; each store's manifest.json has them whole."
    if len(rows) > MOST_STORES:
        note += f" {len(rows) - MOST_STORES} more stores are left out."
    return Table("Stores", header, rows[:MOST_STORES], note) if rows else None


def _stores(state: State) -> Iterator[tuple[str, str, Store]]:
    """Model, what the store's network had seen, and the store."""
    for model, stores in state.stores.items():
        for seen, store in stores.items():
            yield model, seen, store


def _made_from(store: Store) -> str:
    sources = store.manifest.sources
    files = dict.fromkeys(Path(value).name if "/" in value else value for value in sources.values())
    return ", ".join(files) or "arrays from Python"


def _files_table(state: State) -> Table:
    folder = state.project.folder
    rows: list[list[Cell]] = []
    for name in ("project.json", "catalogue.parquet", "blend.json", "study.journal"):
        path = folder / name
        if path.is_file():
            rows.append([name, f"{path.stat().st_size / 1e6:,.3f}", None, sha256_of(path)])
    for merged in rounds(state.project):
        rows += [
            [f"pseudo/{merged.folder.name}/{seen}.csv", None, entry.get("rows"), str(entry.get("sha256", "-"))]
            for seen, entry in merged.ledger["sets"].items()
        ]
    rows.append(["photos, individuals, species, folds", None, state.project.catalogue.train.height])
    rows[-1].append(state.project.photos_hash)
    return Table("Files of the project", ["file", "MB", "rows", "SHA-256"], rows)


def _versions_table(state: State) -> Table:
    made = str(state.project.settings.get("python", "-"))
    rows: list[list[Cell]] = [["python", platform.python_version(), f"project made with {made}"]]
    embedded: dict[str, set[str]] = {}
    for _, _, store in _stores(state):
        for name, number in store.manifest.versions.items():
            embedded.setdefault(name, set()).add(number)
    for name in (*LIBRARIES, *sorted(embedded.keys() - set(LIBRARIES) - {"python"})):
        then = ", ".join(sorted(embedded.get(name, ())))
        installed = _version(name)
        if installed is not None or then:
            rows.append([name, installed or "not installed", f"embeddings made with {then}" if then else ""])
    return Table("Versions", ["what", "here", "before"], rows)


def _board_table(state: State) -> Table | None:
    rows: list[list[Cell]] = []
    for each in read_submissions(state.project.folder):
        rows.append([each.at.replace("T", " ").replace("+00:00", " UTC"), each.message, (each.blend or "-")[:DIGITS]])
        between = None if each.interval is None else (each.interval[0], each.interval[1])
        rows[-1] += [_score(each.predicted), interval(between), _score(each.public), _score(each.private)]
    header = ["sent", "message", "blend", "predicted", "95 % of such tests", "public board", "private board"]
    note = "Predicted is the blend's nested MAP@5 as it was when it was sent; a public board scores a part of the test."
    return Table("What the board said", header, rows, note) if rows else None


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _log_table(state: State) -> Table | None:
    commands = logged_commands(state.project.folder)
    rows: list[list[Cell]] = [
        [command.at.replace("T", " ").replace("+00:00", " UTC"), command.words[0], command.finblend]
        for command in commands[-MOST_COMMANDS:]
    ]
    left = len(commands) - len(rows)
    note = f"{left} earlier ones are left out." if left else ""
    return Table("When commands were done", ["ended", "command", "finblend"], rows, note) if rows else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _bytes(store: Store) -> int:
    return sum(path.stat().st_size for path in store.folder.glob("*.arrow"))


def _size(n: float) -> str:
    """Bytes for people: 1,234 as '1.2 kB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:,.0f} {unit}" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"
