"""Spaces whose queries and gallery photos share something."""

from __future__ import annotations

import numpy as np

from postproc import Space


def drawn(seed: int, n: int, m: int, *, parts: int = 1, views: int = 1, twins: bool = False) -> Space:
    """Queries and gallery photos that share something, parts of different widths."""
    rng = np.random.default_rng(seed)
    look = {"q": rng.standard_normal((n, 3)), "g": rng.standard_normal((m, 3))}
    mixing = [rng.standard_normal((3, 4 + p)) for p in range(parts)]

    def side(who: str) -> tuple[tuple[np.ndarray, ...], ...]:
        rows = len(look[who])
        noise = [0.4 * rng.standard_normal((rows, 3)) for _ in range(views)]
        own = [[((look[who] + e) @ mix).astype(np.float32) for e in noise] for mix in mixing]
        if twins:
            own = [[np.repeat(a[::3], 3, axis=0)[:rows] for a in part] for part in own]
        return tuple(tuple(part) for part in own)

    return Space(side("q"), side("g"))
