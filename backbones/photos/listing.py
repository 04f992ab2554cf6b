"""What lies in one folder, be it on disk or in a container."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})


@dataclass
class Listing:
    """The files of one folder, by composed name and by stem, and its subfolders.

    Attributes
    ----------
    files : dict of str to str
        Name -> path.
    stems : dict of str to list of str
        Name without a photo's extension -> paths.
    folders : list of str
        Names.
    """

    files: dict[str, str] = field(default_factory=dict)
    stems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    folders: list[str] = field(default_factory=list)

    def add(self, name: str, path: str, photo: bool = False) -> None:
        """Note a file; a `photo` is one whatever its extension."""
        # some systems store the accents of a name apart from its letters
        name = unicodedata.normalize("NFC", name)
        self.files[name] = path
        stem, extension = os.path.splitext(name)
        if extension.lower() in EXTENSIONS:
            self.stems[stem].append(path)
        elif photo:
            self.stems[name].append(path)
