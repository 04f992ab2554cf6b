"""COCO: boxes and identities for detectors, label tools and the libraries that read them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cv.catalogue import NO_SPECIES
from cv.errors import FinblendError
from cv.files import read_json, written_beside
from ensemble.exchange.contract import Reading, Stated, refuse_suffix
from ensemble.exchange.records import BOX, records_from, with_boxes_in
from ensemble.project.version import finblend_version

# of a photo, whether it has a box or not
_OF_PHOTO = ("encounter", "latitude", "longitude", "location", "split")
# of the animal on it
_OF_ANIMAL = ("band", "probability", "scientific_name")
# what others call the individual: of the annotation itself or among its attributes
_INDIVIDUAL = ("individual", "individual_id", "individualID", "identity", "name")


@dataclass(frozen=True)
class Coco:
    """A `.json` with `images`, `annotations` and `categories`, one category a species.

    A photo's own facts are attributes of its image; who is on it, attributes of its annotation. A photo without a box
    has no annotation, for loaders want boxes: then its image has those attributes too.
    """

    name: str = "coco"

    def refuse_place(self, place: Path) -> None:
        """Wants a `.json`."""
        refuse_suffix(place, ".json", self.name)

    def write(self, records: pl.DataFrame, place: Path, stated: Stated) -> list[str]:
        """Write; boxes are in pixels, whole numbers as such."""
        records = with_boxes_in(records, "pixels", self.name)
        species = records["species"].drop_nulls().unique().sort().to_list()
        if records["species"].null_count():
            species.append(NO_SPECIES)
        category = {each: number for number, each in enumerate(species, start=1)}
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, row in enumerate(records.iter_rows(named=True), start=1):
            animal = _animal(row)
            boxed = row[BOX[0]] is not None
            if boxed:
                annotations.append(_annotation(len(annotations) + 1, number, row, category, animal))
            images.append(_image(number, row, {} if boxed else animal))
        document = {
            "info": {"description": "photos and who is on them", "contributor": f"finblend {finblend_version()}"},
            "images": images,
            "annotations": annotations,
            "categories": [
                {"id": number, "name": each, "supercategory": "animal"} for each, number in category.items()
            ],
        }
        with written_beside(place) as temporary, temporary.open("w", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        bare = len(images) - len(annotations)
        return (
            [f"photos without a box: {bare}; they have no annotation, their image says who is on them"] if bare else []
        )

    def read(self, place: Path) -> Reading:
        """Read; of several boxes of one individual the largest, photos of several individuals are left out."""
        document = read_json(place)
        parts = [document.get(part) if isinstance(document, dict) else None for part in ("images", "annotations")]
        if not all(isinstance(part, list) and all(isinstance(each, dict) for each in part) for part in parts):
            raise FinblendError(f"{place}: COCO needs a list of images and a list of annotations")
        images, annotations = parts[0] or [], parts[1] or []
        species = _categories(document, place)
        of_image: dict[int | str, list[dict[str, Any]]] = defaultdict(list)
        for row, annotation in enumerate(annotations, start=1):
            where, image_id = f"{place}: annotation {row}", annotation.get("image_id")
            if not isinstance(image_id, (int, str)):
                raise FinblendError(f"{where}: image_id {image_id!r} is the id of no image")
            of_image[image_id].append(_read_annotation(annotation, species, where))
        rows, several, ids = [], 0, set[int | str]()
        for number, image in enumerate(images, start=1):
            if not isinstance(image.get("file_name"), str) or not isinstance(image.get("id"), (int, str)):
                raise FinblendError(f"{place}: image {number}: needs an id and a file_name")
            if image["id"] in ids:
                raise FinblendError(f"{place}: image {number}: id {image['id']!r} stands twice")
            ids.add(image["id"])
            found = of_image.pop(image["id"], [])
            if len({each.get("individual_id") for each in found}) > 1:
                several += 1
                continue
            largest = max(found, key=lambda each: each.get(BOX[2], 0) * each.get(BOX[3], 0), default={})
            rows.append({**_read_image(image), **largest})
        if of_image:
            raise FinblendError(f"{place}: image_id {next(iter(of_image))!r} is the id of no image")
        notes = [f"left out: {several} photos of several individuals"] if several else []
        return Reading(records_from(rows, str(place)), notes)


def _animal(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {"individual": row["individual_id"], **{each: row[each] for each in _OF_ANIMAL}, "species": row["species"]}
    return {key: value for key, value in told.items() if value is not None}


def _image(number: int, row: Mapping[str, Any], animal: Mapping[str, Any]) -> dict[str, Any]:
    """`file_name` is where the photo lies; the catalogue's own name is an attribute where that is another."""
    told = {"image": row["image"] if row["path"] else None, **{each: row[each] for each in _OF_PHOTO}, **animal}
    entry = {
        "id": number,
        "file_name": row["path"] or row["image"],
        "width": row["width"],
        "height": row["height"],
        "date_captured": row["date"],
        "attributes": {key: value for key, value in told.items() if value is not None},
    }
    return {key: value for key, value in entry.items() if value is not None}


def _annotation(
    number: int, image: int, row: Mapping[str, Any], category: Mapping[str, int], animal: Mapping[str, Any]
) -> dict[str, Any]:
    box = [int(side) if float(side).is_integer() else side for side in (row[each] for each in BOX)]
    return {
        "id": number,
        "image_id": image,
        "category_id": category[row["species"] or NO_SPECIES],
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
        "attributes": {key: value for key, value in animal.items() if key != "species"},
    }


def _categories(document: Mapping[str, Any], place: Path) -> dict[int | str, Any]:
    categories = document.get("categories") or []
    if not isinstance(categories, list) or not all(
        isinstance(each, dict) and isinstance(each.get("id"), (int, str)) for each in categories
    ):
        raise FinblendError(f"{place}: categories need a list of id and name")
    return {each["id"]: each.get("name") for each in categories}


def _attributes(entry: Mapping[str, Any]) -> dict[str, Any]:
    attributes = entry.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _who(*places: Mapping[str, Any]) -> str | None:
    named = (place.get(key) for place in places for key in _INDIVIDUAL)
    return next((str(name) for name in named if isinstance(name, (str, int)) and name != ""), None)


def _read_annotation(annotation: Mapping[str, Any], species: Mapping[int | str, Any], where: str) -> dict[str, Any]:
    attributes = _attributes(annotation)
    told = {key: attributes[key] for key in _OF_ANIMAL if key in attributes}
    told["individual_id"] = _who(attributes, annotation)
    category = annotation.get("category_id")
    told["species"] = species.get(category) if isinstance(category, (int, str)) else None
    box = annotation.get("bbox")
    if box:
        if not isinstance(box, list) or len(box) != 4 or not all(_is_number(each) for each in box):
            raise FinblendError(f"{where}: bbox {box}: a box is four numbers")
        told |= dict(zip(BOX, map(float, box), strict=True))
    # what it does not say, its image may
    return {key: value for key, value in told.items() if value is not None}


def _is_number(value: object) -> bool:
    # JSON's true is an int to Python, and its whole numbers have no end
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not abs(value) > 2**53


def _read_image(image: Mapping[str, Any]) -> dict[str, Any]:
    attributes = _attributes(image)
    name, file_name = attributes.get("image"), image["file_name"]
    told = {key: attributes[key] for key in (*_OF_PHOTO, *_OF_ANIMAL, "species") if key in attributes}
    return {
        "image": name or file_name,
        "path": file_name,
        "individual_id": _who(attributes),
        "date": image.get("date_captured") or None,
        "width": image.get("width"),
        "height": image.get("height"),
        **told,
    }
