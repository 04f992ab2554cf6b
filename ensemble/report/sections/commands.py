"""The command lines that make a project again: from its log, or from what its files record."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from backbones.manifest import Seen
from backbones.store import Store
from ensemble.blend.blend import Blend
from ensemble.project.command_log import Command, logged_commands
from ensemble.project.folder import Project
from ensemble.project.pseudo_rounds import rounds

MOST_LINES = 400


def recipe(project: Project, stores: Mapping[str, Mapping[str, Store]], blend: Blend | None) -> tuple[str, str]:
    """The lines, and a sentence on where they come from.

    Parameters
    ----------
    project : Project
    stores : mapping of model to stores
    blend : Blend or None
    """
    commands = logged_commands(project.folder)
    if _is_whole(commands, {*stores, *project.pair_stores()}, blend):
        origin = f"The command lines as they were typed, from {project.folder / 'commands.jsonl'}."
        return "\n".join(_typed(commands)), origin
    lines = [_init_line(project.settings)]
    for model, stores_of_model in stores.items():
        lines += [_store_line(model, store) for store in stores_of_model.values()]
    lines += [_pair_line(name, store.manifest.made) for name, store in project.pair_stores().items()]
    lines += [
        f"# then finblend merge P FILE --as {merged.kind}: {merged.folder.name}, its ledger says from what"
        for merged in rounds(project)
    ]
    if blend is not None:
        lines += [*_tune_lines(blend), "finblend submit P -o submission.csv"]
    origin = (
        "Put together from project.json, the stores' manifests and blend.json, since not every step was done on the "
        "command line (or an older finblend did it, which kept no log). P is the project's folder; "
        "a line that begins with # could not be written in full."
    )
    return "\n".join(lines[:MOST_LINES]), origin


def _is_whole(commands: Sequence[Command], sources: set[str], blend: Blend | None) -> bool:
    """Whether the log tells how everything came to be that is there."""
    done = [command.words[0] for command in commands]
    makers = {"register", "embed", "train", "register-pairs", "match"}
    words = {word for c in commands if c.words[0] in makers for word in c.words}
    return done[:1] == ["init"] and sources <= words and (blend is None or "tune" in done)


def _typed(commands: Sequence[Command]) -> list[str]:
    lines: list[str] = []
    current = ""
    for command in commands:
        if command.folder != current:
            current = command.folder
            lines.append(shlex.join(["cd", current]))
        lines.append(shlex.join(["finblend", *command.words]))
    left = len(lines) - MOST_LINES
    return lines if left <= 0 else [*lines[:MOST_LINES], f"# and {left} more lines in commands.jsonl"]


def _init_line(settings: Mapping[str, Any]) -> str:
    if settings.get("kaggle"):
        words = ["finblend", "init", "P", "--kaggle", settings["kaggle"]]
    else:
        words = ["finblend", "init", "P", "--train", settings.get("train")]
        words += ["--test", settings["test"]] if settings.get("test") else []
    words += ["--folds", settings.get("folds"), "--seed", settings.get("seed")]
    for key in ("encounters", "split", "test_species", "species_map", "hold_out"):
        words += ["--" + key.replace("_", "-"), settings[key]] if settings.get(key) else []
    line = shlex.join(map(str, words))
    frames = "a frame" in (settings.get("train"), settings.get("test"))
    return f"# tables came from Python, not from files: {line}" if frames else line


def _store_line(model: str, store: Store) -> str:
    manifest, seen = store.manifest, store.seen
    flag = ["--fold", str(seen.fold)] if seen.kind == "fold" else [f"--{seen.kind}"]
    sources = manifest.sources
    if {"train", "test"} <= set(sources):
        words = ["finblend", "register", "P", model, *flag, "--train", sources["train"], "--test", sources["test"]]
        further = [name for name in sources if name not in {"train", "test"}]
        return shlex.join(words) + (f"  # and views from {sources[further[0]]}" if further else "")
    if "backbone" in sources:
        return _embed_line(model, seen, sources)
    return f"# {model} {seen}: arrays from Python"


def _embed_line(model: str, seen: Seen, sources: Mapping[str, str]) -> str:
    words = ["finblend", "embed", "P", model, "--backbone", sources["backbone"]]
    words += ["--weights", sources.get("weights", "?")]
    words += ["--fold", str(seen.fold)] if seen.kind == "fold" else [f"--{seen.kind}"]
    for name, file in sources.items():
        words += ["--boxes", file] if name.startswith("boxes") else []
    return f"# photos' folder not recorded, add --images DIR: {shlex.join(words)}"


def _pair_line(name: str, made: Mapping[str, Any]) -> str:
    if made.get("how") == "match":
        words = ["finblend", "match", "P", name]
        # another version's manifest may lack an option, or say nothing of boxes' form
        for option in ("features", "keypoints", "matcher", "verify", "shortlist", "max_rotation"):
            words += [f"--{option.replace('_', '-')}", made[option]] if option in made else []
        words += [] if made.get("per_species", True) else ["--all-species"]
        words += ["--mirrored"] if made.get("mirrored") else []
        for option, key in (("--boxes", "boxes"), ("--images", "images")):
            for each in made.get(key, []):
                words += [option, each]
        words += ["--box-form", made["box_form"]] if made.get("boxes") and "box_form" in made else []
        return shlex.join(map(str, words))
    files = [each["file"] for each in made.get("files", [])]
    if not files or None in files:
        return f"# {name}: pairs from Python"
    words = ["finblend", "register-pairs", "P", name, "--pairs", files[0]]
    words += ["--test-pairs", files[1]] if len(files) > 1 else []
    words += ["--lower-is-better"] if made.get("usual_distance") else []
    return shlex.join(words)


def _tune_lines(blend: Blend) -> list[str]:
    measured, shares = blend.measured, blend.mix.new_share
    lines = []
    if blend.by_hand:
        lines.append("# blend.json is not as 'finblend tune' wrote it: the next line makes another one")
    words = ["finblend", "tune", "P", "--trials", measured.get("trials", 100)]
    if measured.get("estimate"):
        words += ["--new-share", "estimate"]
    elif isinstance(shares, Mapping):
        table = "\n".join(f"{species},{share}" for species, share in shares.items())
        lines += [f"cat > shares.csv <<'END'\nspecies,new_share\n{table}\nEND"]
        words += ["--new-share", "shares.csv"]
    elif shares is not None:
        words += ["--new-share", shares]
    words += ["--gallery-mix", "raw" if blend.mix.gallery_exponent is None else blend.mix.gallery_exponent]
    for key in ("sampler", "seed"):
        words += [f"--{key}", measured[key]] if key in measured else []
    for name in blend.weights:
        words += ["--model", name]
    return [*lines, shlex.join(map(str, words))]
