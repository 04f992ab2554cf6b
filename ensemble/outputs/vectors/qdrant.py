"""Vectors as collections of a Qdrant server, through its own client."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from backbones.embeddings import SPLITS
from cv.errors import FinblendError
from cv.extras import load_extra
from ensemble.outputs.vectors.blend_space import BlendSpace
from ensemble.outputs.vectors.sink import EXTRA, container

# numbers a request: some 12 bytes each in JSON, and a server takes 32 MB
REQUEST_NUMBERS = 500_000
KEY = "QDRANT_API_KEY"
# between an alias and what makes the name of its collection its own
_OURS = "-finblend-"


@dataclass(frozen=True)
class QdrantSink:
    """Two collections a space, for dot products; a point is a photo, once a view, with what is known of it.

    Collections have names of their own; an alias of the wanted name points to each, and is changed when all points are
    there, for all of them in one request. A failure takes half-written collections away.

    Attributes
    ----------
    url : str
        `http(s)://HOST:PORT`; the key, where one is wanted, stands in QDRANT_API_KEY.
    collection : str
        Start of the aliases.
    replace : bool
        Whether aliases that an earlier export wrote may be changed, and their collections deleted; others never are.
    client : object, optional
        A `qdrant_client.QdrantClient` instead of one of that address.
    """

    url: str
    collection: str
    replace: bool = False
    client: Any = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """The address, without what is secret about it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def write(self, spaces: Sequence[BlendSpace]) -> list[str]:
        """Upload all spaces, then change the aliases."""
        # it stands in addresses, which older clients do not escape: 'a?b' would be the collection 'a'
        if re.fullmatch(r"\w[\w-]*", self.collection) is None:
            raise FinblendError(f"--collection {self.collection!r}: must be letters, digits, - and _")
        names = {
            (n, split): container(self.collection, space, split) for n, space in enumerate(spaces) for split in SPLITS
        }
        own = {alias: f"{alias}{_OURS}{secrets.token_hex(4)}" for alias in names.values()}
        client, models = self._connected(), load_extra("qdrant_client.models", EXTRA)
        with self._refusing("cannot be asked"):
            before = self._refuse_present(client, list(own))
        try:
            for (n, split), alias in names.items():
                with self._refusing(f"nothing was changed, {own[alias]} may be there half-written"):
                    self._upload(client, own[alias], spaces[n], split)
            with self._refusing(f"whether {', '.join(own)} point to the new collections is not known"):
                client.update_collection_aliases(
                    [
                        *(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=a)) for a in before),
                        *(
                            models.CreateAliasOperation(
                                create_alias=models.CreateAlias(collection_name=made, alias_name=alias)
                            )
                            for alias, made in own.items()
                        ),
                    ]
                )
        except BaseException:
            with contextlib.suppress(Exception):
                pointed = {each.collection_name for each in client.get_aliases().aliases}
                for made in set(own.values()) - pointed:
                    client.delete_collection(made)
            raise
        for old in before.values():
            with self._refusing(f"the new vectors are there, the old collection {old} may be, too"):
                client.delete_collection(old)
        return list(own)

    def _connected(self) -> Any:
        if self.client is not None:
            return self.client
        if urlsplit(self.url).scheme not in {"http", "https"} or not urlsplit(self.url).hostname:
            raise FinblendError("--url of a Qdrant server must be http://HOST:PORT or https://HOST:PORT")
        with self._refusing("is no address"):
            return load_extra("qdrant_client", EXTRA).QdrantClient(
                url=self.url, api_key=os.environ.get(KEY), timeout=60, check_compatibility=False
            )

    def _refuse_present(self, client: Any, aliases: list[str]) -> dict[str, str]:
        """What the aliases point to, where they are an earlier export's and may be replaced."""
        known = {each.alias_name: each.collection_name for each in client.get_aliases().aliases}
        collections = {each.name for each in client.get_collections().collections}
        for alias in aliases:
            if alias in collections or (alias in known and not known[alias].startswith(alias + _OURS)):
                raise FinblendError(
                    f"{self.place}: {alias} is not of an export of finblend's; choose another --collection"
                )
            if alias in known and not self.replace:
                raise FinblendError(f"{self.place}: {alias} exists already; replace it with --replace")
        return {alias: known[alias] for alias in aliases if alias in known}

    def _upload(self, client: Any, name: str, space: BlendSpace, split: str) -> None:
        models = load_extra("qdrant_client.models", EXTRA)
        wanted = models.VectorParams(size=space.width, distance=models.Distance.DOT)
        client.create_collection(name, vectors_config=wanted)
        step = max(1, REQUEST_NUMBERS // space.width)
        for batch in space.batches(split):
            payloads = batch.photos.to_dicts()
            for start in range(0, len(payloads), step):
                part = batch.vectors[start : start + step]
                ids = list(range(batch.first + start, batch.first + start + len(part)))
                points = models.Batch(ids=ids, vectors=part.tolist(), payloads=payloads[start : start + step])
                client.upsert(name, points=points, wait=True)

    @contextlib.contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        kinds = load_extra("qdrant_client.http.exceptions", EXTRA)
        try:
            yield
        except FinblendError:
            raise
        except kinds.UnexpectedResponse as error:
            hint = f"; the key stands in {KEY}" if error.status_code in {401, 403} else ""
            told = " ".join(error.content.decode("utf-8", "replace").split())[:200]
            raise FinblendError(f"{self.place}: {what} ({error.status_code} {told}{hint})") from None
        except (kinds.ApiException, OSError, ValueError) as error:
            raise FinblendError(f"{self.place}: {what} ({' '.join(str(error).split())})") from None
