"""The tables of Camtrap DP 1.0 (Bubnicki et al. 2024; tdwg/camtrap-dp, release 1.0): fields in their order, and rules.

Written here from the standard's own pages, so that a package can be checked where there is no network. Of the
standard's table schemas these have names, types, required fields, ranges, enumerations, patterns and keys.
"""

from __future__ import annotations

from typing import Any

VERSION = "1.0"
_HOME = f"https://raw.githubusercontent.com/tdwg/camtrap-dp/{VERSION}"
PROFILE = f"{_HOME}/camtrap-dp-profile.json"
_MOMENT = "%Y-%m-%dT%H:%M:%S%z"


def _field(name: str, kind: str = "string", **constraints: Any) -> dict[str, Any]:
    """A field's descriptor; `required=True` where it must not be empty."""
    described: dict[str, Any] = {"name": name, "type": kind}
    if kind == "datetime":
        described["format"] = _MOMENT
    return {**described, "constraints": {"required": False, **constraints}}


def _moment(name: str, **constraints: Any) -> dict[str, Any]:
    return _field(name, "datetime", **constraints)


def _number(name: str, low: float | None = None, high: float | None = None, **constraints: Any) -> dict[str, Any]:
    limits = {key: value for key, value in (("minimum", low), ("maximum", high)) if value is not None}
    return _field(name, "number", **constraints, **limits)


def _whole(name: str, low: int, high: int | None = None) -> dict[str, Any]:
    return {**_number(name, low, high), "type": "integer"}


_KEY: dict[str, Any] = {"required": True, "unique": True}
_FIELDS: dict[str, list[dict[str, Any]]] = {
    "deployments": [
        _field("deploymentID", **_KEY),
        _field("locationID"),
        _field("locationName"),
        _number("latitude", -90, 90, required=True),
        _number("longitude", -180, 180, required=True),
        _whole("coordinateUncertainty", 1),
        _moment("deploymentStart", required=True),
        _moment("deploymentEnd", required=True),
        _field("setupBy"),
        _field("cameraID"),
        _field("cameraModel"),
        _whole("cameraDelay", 0),
        _number("cameraHeight", 0),
        _number("cameraDepth", 0),
        _whole("cameraTilt", -90, 90),
        _whole("cameraHeading", 0, 360),
        _number("detectionDistance", 0),
        _field("timestampIssues", "boolean"),
        _field("baitUse", "boolean"),
        _field("featureType"),
        _field("habitat"),
        _field("deploymentGroups"),
        _field("deploymentTags"),
        _field("deploymentComments"),
    ],
    "media": [
        _field("mediaID", **_KEY),
        _field("deploymentID", required=True),
        _field("captureMethod", enum=["activityDetection", "timeLapse"]),
        _moment("timestamp", required=True),
        _field("filePath", required=True, pattern=r"^(?=^[^./~])(^((?!\.{2}).)*$).*$"),
        _field("filePublic", "boolean", required=True),
        _field("fileName"),
        _field("fileMediatype", required=True, pattern="^(image|video|audio)/.*$"),
        _field("exifData", "any"),
        _field("favorite", "boolean"),
        _field("mediaComments"),
    ],
    "observations": [
        _field("observationID", **_KEY),
        _field("deploymentID", required=True),
        _field("mediaID"),
        _field("eventID"),
        _moment("eventStart", required=True),
        _moment("eventEnd", required=True),
        _field("observationLevel", required=True, enum=["media", "event"]),
        _field(
            "observationType",
            required=True,
            enum=["animal", "human", "vehicle", "blank", "unknown", "unclassified"],
        ),
        _field("cameraSetupType", enum=["setup", "calibration"]),
        _field("scientificName"),
        _whole("count", 1),
        _field("lifeStage", enum=["adult", "subadult", "juvenile"]),
        _field("sex", enum=["female", "male"]),
        _field("behavior"),
        _field("individualID"),
        _number("individualPositionRadius", 0),
        _number("individualPositionAngle", -90, 90),
        _number("individualSpeed", 0),
        _number("bboxX", 0, 1),
        _number("bboxY", 0, 1),
        _number("bboxWidth", 1e-15, 1),
        _number("bboxHeight", 1e-15, 1),
        _field("classificationMethod", enum=["human", "machine"]),
        _field("classifiedBy"),
        _moment("classificationTimestamp"),
        _number("classificationProbability", 0, 1),
        _field("observationTags"),
        _field("observationComments"),
    ],
}
_FOREIGN = {"deployments": [], "media": ["deployment"], "observations": ["deployment", "media"]}
TABLES = tuple(_FIELDS)
# of a box: left, upper, width and height in shares of the photo
BBOX = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
# what begins the keys of finblend's own observationTags
TAG = "finblend_"
# EXIF's names of a photo's sides
EXIF_SIZE = {"width": "PixelXDimension", "height": "PixelYDimension"}
# what release 1.0 and those after it take for an empty cell
MISSING = ("", "NaN", "nan", "NA")


def fields(table: str) -> list[str]:
    """Names of a table's fields, in their order."""
    return [each["name"] for each in _FIELDS[table]]


def schema_url(table: str) -> str:
    """Where the standard's own schema of a table is."""
    return f"{_HOME}/{table}-table-schema.json"


def schema(table: str) -> dict[str, Any]:
    """The Table Schema of a table."""
    keys = [
        {
            "fields": [f"{other}ID"],
            "reference": {"resource": "media" if other == "media" else f"{other}s", "fields": [f"{other}ID"]},
        }
        for other in _FOREIGN[table]
    ]
    return {
        "name": table,
        "fields": _FIELDS[table],
        "missingValues": [""],
        "primaryKey": [_FIELDS[table][0]["name"]],
        "foreignKeys": keys,
    }
