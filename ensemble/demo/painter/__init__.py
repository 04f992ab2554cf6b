"""Paint a photo-ID catalogue with known answers, and sheets of photos to look at; only the demo imports this.

In: a seed and a number of individuals. Out: photos, tables, answers kept aside.
Imports nothing of `ensemble`.
"""

from ensemble.demo.painter.catalogue import Painted, paint_catalogue
from ensemble.demo.painter.sheet import answers_sheet, contact_sheet

__all__ = ["Painted", "answers_sheet", "contact_sheet", "paint_catalogue"]
