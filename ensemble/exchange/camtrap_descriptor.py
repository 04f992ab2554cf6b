"""The descriptor of a Camtrap DP: who, where, when, which species, which tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from ensemble.exchange.camtrap_schemas import PROFILE, TABLES, schema_url
from ensemble.project.version import finblend_version

# the profile requires these, and a catalogue does not know them
GRANTED: Mapping[str, Any] = {
    "contributors": [{"title": "not stated"}],
    "project": {
        "title": "Photo-identification catalogue",
        "samplingDesign": "opportunistic",
        "captureMethod": ["activityDetection"],
    },
}


def taken_for_granted(metadata: Mapping[str, Any]) -> list[str]:
    """A line on what the profile requires and nobody has said."""
    project = metadata.get("project", {})
    unsaid = [f"project.{key} {value}" for key, value in GRANTED["project"].items() if key not in project]
    if "contributors" not in metadata:
        unsaid.insert(0, "contributors not stated")
    return (
        [f"taken for granted, for the profile requires it: {', '.join(unsaid)}; say it by --metadata FILE"]
        if unsaid
        else []
    )


def descriptor(records: pl.DataFrame, deployments: pl.DataFrame, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a package; `metadata` goes before what is made up here, `project` key by key.

    Parameters
    ----------
    records : polars.DataFrame
    deployments : polars.DataFrame
        The table as it is written.
    metadata : mapping
    """
    taxa = records.select("species", "scientific_name").drop_nulls("scientific_name").unique().sort(pl.all())
    scientific = taxa["scientific_name"].unique().sort().to_list()
    made = {
        "resources": [
            {
                "name": table,
                "path": f"{table}.csv",
                "profile": "tabular-data-resource",
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "schema": schema_url(table),
            }
            for table in TABLES
        ],
        "profile": PROFILE,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "contributors": GRANTED["contributors"],
        "sources": [{"title": "finblend", "version": finblend_version()}],
        "spatial": _extent(deployments),
        "temporal": {
            "start": str(deployments["deploymentStart"].min())[:10],
            "end": str(deployments["deploymentEnd"].max())[:10],
        },
        "taxonomic": [{"scientificName": name} for name in scientific],
        # the catalogue's own words for species, which have no place in the standard
        "finblend": {"species": dict(taxa.drop_nulls().iter_rows())},
    }
    own = {
        **GRANTED["project"],
        **metadata.get("project", {}),
        "individualAnimals": True,
        "observationLevel": ["media"],
    }
    fixed = {key: made[key] for key in ("resources", "profile", "finblend")}
    return {**made, **metadata, **fixed, "project": own}


def _extent(deployments: pl.DataFrame) -> dict[str, Any]:
    """A GeoJSON polygon around all places."""
    west, east = deployments["longitude"].min(), deployments["longitude"].max()
    south, north = deployments["latitude"].min(), deployments["latitude"].max()
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [corners]}
