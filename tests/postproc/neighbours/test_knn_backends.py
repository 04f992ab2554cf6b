"""What multiplies is chosen by the work, follows numba's threads, and changes nothing but the time."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import knn_reference
import numba
import numpy as np
import pytest
from knn_reference import same

from cv import FinblendError
from postproc import Space, top_k
from postproc.neighbours import choice, screen_backends
from postproc.neighbours.exact import lengths as norms_of
from postproc.neighbours.screen import Column
from postproc.neighbours.screen_backends import choose
from postproc.neighbours.screen_base import Wanted
from postproc.neighbours.screen_cpu import BFloat16, Float32, Int8
from postproc.neighbours.screen_gpu import OnDevice


@pytest.fixture(autouse=True)
def no_device_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FINBLEND_DEVICE", raising=False)


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)


def flags(monkeypatch: pytest.MonkeyPatch, **values: bool) -> None:
    names = {name.replace("_", "-"): value for name, value in values.items()}
    monkeypatch.setattr(screen_backends.binding, "get_host_cpu_features", lambda: names)


def kinds(backend: str, work: float) -> list[type]:
    return [type(products) for products in choose(backend, work)]


@pytest.mark.parametrize(
    ("backend", "work", "fast", "expected"),
    [
        ("auto", 1e14, True, BFloat16),
        ("auto", 1e14, False, Float32),
        ("auto", 1e6, True, Float32),
        ("bfloat16", 1e6, False, BFloat16),
        ("float32", 1e14, True, Float32),
    ],
)
def test_bfloat16_is_taken_where_it_pays(
    monkeypatch: pytest.MonkeyPatch, backend: str, work: float, fast: bool, expected: type
) -> None:
    pytest.importorskip("torch")
    for flag in ("avx512bf16", "amx_bf16"):
        flags(monkeypatch, avx512f=True, **{flag: fast})
        assert kinds(backend, work) == [expected]


@pytest.mark.parametrize("asked", [None, "", "cpu"])
def test_a_gpu_that_is_there_is_left_alone_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str | None
) -> None:
    torch = pytest.importorskip("torch")
    flags(monkeypatch, avx512bf16=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    if asked is not None:
        monkeypatch.setenv("FINBLEND_DEVICE", asked)
    assert kinds("auto", 1e14) == [BFloat16]
    assert kinds("bfloat16", 1e6) == [BFloat16]


def test_a_gpu_that_is_asked_for_is_taken_before_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    flags(monkeypatch, avx512bf16=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("FINBLEND_DEVICE", "cuda")
    assert kinds("auto", 1e14) == [OnDevice]
    assert kinds("bfloat16", 1e6) == [OnDevice]
    assert kinds("auto", 1e6) == [Float32]
    assert kinds("float32", 1e14) == [Float32]


@pytest.mark.parametrize("work", [1e6, 1e14])
def test_a_gpu_that_is_asked_for_and_not_there_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, work: float
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("FINBLEND_DEVICE", "cuda")
    with pytest.raises(FinblendError, match=r"^FINBLEND_DEVICE=cuda: torch .* finds no GPU here; .*$") as refused:
        choose("auto", work)
    assert "\n" not in str(refused.value)


def test_a_gpu_without_torch_and_other_devices_are_refused(monkeypatch: pytest.MonkeyPatch, no_torch: None) -> None:
    monkeypatch.setenv("FINBLEND_DEVICE", "cuda")
    with pytest.raises(FinblendError, match=r"^FINBLEND_DEVICE=cuda needs torch: pip install 'finblend\[backbones\]'"):
        choose("auto", 1e6)
    monkeypatch.setenv("FINBLEND_DEVICE", "mps")
    with pytest.raises(FinblendError, match=r"^FINBLEND_DEVICE must be cpu or cuda, but got FINBLEND_DEVICE=mps$"):
        choose("auto", 1e6)


def test_less_work_is_worth_rounding_than_importing_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    flags(monkeypatch, avx512bf16=True)
    assert kinds("auto", 5e10) == [BFloat16]
    monkeypatch.delitem(sys.modules, "torch")
    assert kinds("auto", 5e10) == [Float32]
    assert "torch" not in sys.modules


@pytest.mark.parametrize("others", [0, 3, 30])
def test_measuring_does_with_few_photos_to_meet(monkeypatch: pytest.MonkeyPatch, others: int) -> None:
    """All queries are of one group, and fewer photos than are wanted are of another."""
    torch = pytest.importorskip("torch")
    array = np.random.default_rng(0).standard_normal((600, 24)).astype(np.float32)
    group = np.repeat([0, 1], [600 - others, others])
    options = {"query_rows": np.flatnonzero(group == 0), "query_group": group, "gallery_group": group}
    expected = top_k(Space(((array,),), ((array,),)), 20, backend="float32", **options)
    monkeypatch.setattr("postproc.neighbours.engine.choose", lambda *_: [Float32(), BFloat16(torch)])
    assert same(top_k(Space(((array,),), ((array,),)), 20, **options), expected)


@pytest.mark.parametrize("sums", ["right", "saturated", None])
def test_int8_is_left_alone_where_its_sums_overflow(monkeypatch: pytest.MonkeyPatch, sums: str | None) -> None:
    torch = pytest.importorskip("torch")
    flags(monkeypatch, avxvnni=True)
    screen_backends._is_exact.cache_clear()

    def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        exact = left.int() @ right.int()
        return exact if sums == "right" else exact.clamp(-32768, 32767)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "_int_mm", product)
        if sums is None:
            patch.delattr(torch, "_int_mm")
        assert kinds("auto", 1e14) == ([Float32, Int8] if sums == "right" else [Float32])
    screen_backends._is_exact.cache_clear()


@pytest.mark.parametrize("flag", ["avx512vnni", "avxvnni", "amx_int8"])
def test_int8_is_thought_of_where_its_sums_are_exact_and_measuring_pays(
    monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    pytest.importorskip("torch")
    # the flags are pretended: what this very processor makes of the sums is asked elsewhere
    monkeypatch.setattr(screen_backends, "_is_exact", lambda _: True)
    flags(monkeypatch, **{flag: True})
    assert kinds("auto", 1e14) == [Float32, Int8]
    assert kinds("auto", 1e10) == [Float32]
    assert kinds("int8", 1e6) == [Int8]
    flags(monkeypatch, avx512f=True, avx512bf16=True, **{flag: False})
    assert kinds("auto", 1e14) == [BFloat16]
    with pytest.raises(FinblendError, match=r"^backend 'int8' needs a processor with VNNI or AMX: "):
        choose("int8", 1e14)


@pytest.mark.parametrize(("exact", "expected"), [(1e-10, Int8), (1e-6, BFloat16)])
def test_the_back_end_is_the_one_that_is_measured_to_be_fastest(
    monkeypatch: pytest.MonkeyPatch, exact: float, expected: type
) -> None:
    """Int8 multiplies twice as fast and leaves more to compute: what that costs decides."""
    torch = pytest.importorskip("torch")
    knn_reference.needs("int8")
    monkeypatch.setattr(choice, "_MEASURED", {BFloat16: 2e-12, Int8: 1e-12})
    monkeypatch.setattr(choice, "_per_exact_product", lambda: exact)
    two = space()
    column = Column(two, 0, *norms_of(two, 0, np.arange(90)))
    some = [column], [Wanted(np.ones(1), 20, 0)], np.arange(90), np.arange(5000, dtype=np.int32)
    backends = [BFloat16(torch), Int8(torch)]
    left = [choice._in_question(products, *some)[0] for products in backends]
    assert left[0][0].mean() < left[1][0].mean()
    assert all((compared <= kept).all() for compared, kept in left)
    compared = [float(photos.mean()) for photos, _ in left]
    # 5000 photos of 256 numbers are multiplied, and the photos left are computed
    seconds = [5000 * 256 * rate + photos * 256 * exact for rate, photos in zip((2e-12, 1e-12), compared, strict=True)]
    assert (seconds[1] < seconds[0]) == (expected is Int8)
    assert type(choice.fastest(backends, *some, is_symmetric=False)) is expected
    # no room in the buffers: never, however fast
    monkeypatch.setattr(choice, "_FILLED", 0.0)
    assert type(choice.fastest(backends, *some, is_symmetric=False)) is BFloat16


def test_rates_are_measured_once() -> None:
    torch = pytest.importorskip("torch")
    rate = choice._per_product(BFloat16(torch))
    assert rate > 0
    assert choice._per_product(BFloat16(torch)) == rate


def test_without_torch_float32_serves_and_bfloat16_is_refused(no_torch: None) -> None:
    assert kinds("auto", 1e14) == [Float32]
    with pytest.raises(FinblendError, match=r"'bfloat16' needs torch: pip install 'finblend\[backbones\]' \("):
        choose("bfloat16", 1e14)


def space(width: int = 64) -> Space:
    rng = np.random.default_rng(0)
    return Space(
        tuple((rng.standard_normal((90, width)).astype(np.float32),) for _ in range(2)),
        tuple(tuple(rng.standard_normal((5000, width)).astype(np.float32) for _ in range(2)) for _ in range(2)),
    )


def test_all_back_ends_give_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    expected = top_k(space(), 20, backend="float32")
    assert same(top_k(space(), 20, backend="bfloat16"), expected)
    monkeypatch.setattr(OnDevice, "tile", 40)
    monkeypatch.setattr("postproc.neighbours.engine.choose", lambda *_: [OnDevice(torch, "cpu")])
    assert same(top_k(space(), 20), expected)
    assert same(top_k(space(), 20, memory_mb=1), expected)


@pytest.mark.parametrize("n", [1, 2])
def test_torch_follows_numbas_threads_and_gets_its_own_back(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    torch = pytest.importorskip("torch")
    if n > numba.config.NUMBA_NUM_THREADS:
        pytest.skip("numba has fewer threads")
    seen: list[int] = []
    multiply = BFloat16.multiply

    def watch(self: BFloat16, *args: Any) -> Any:
        seen.append(torch.get_num_threads())
        return multiply(self, *args)

    monkeypatch.setattr(BFloat16, "multiply", watch)
    before = torch.get_num_threads(), numba.get_num_threads()
    try:
        numba.set_num_threads(n)
        torch.set_num_threads(3)
        top_k(space(), 5, backend="bfloat16")
        assert set(seen) == {n}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


@pytest.mark.parametrize("setting", [True, False])
def test_a_gpu_sums_in_float32_and_gets_its_setting_back(setting: bool) -> None:
    torch = pytest.importorskip("torch")
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_bf16_reduced_precision_reduction
    try:
        matmul.allow_bf16_reduced_precision_reduction = setting
        with OnDevice(torch, "cpu").threads():
            assert not matmul.allow_bf16_reduced_precision_reduction
        assert matmul.allow_bf16_reduced_precision_reduction == setting
    finally:
        matmul.allow_bf16_reduced_precision_reduction = before


@pytest.mark.parametrize("asked", [3, 60])
def test_few_queries_within_a_class_have_the_neighbours_that_a_screen_finds(asked: int) -> None:
    """Without a screen for the few, with one for the many."""
    rng = np.random.default_rng(0)
    array = rng.standard_normal((300, 24)).astype(np.float32)
    classes, groups = np.arange(300) % 2, np.arange(300) // 3
    options = {"query_rows": np.arange(asked), "query_class": classes, "gallery_class": classes}
    options |= {"query_group": groups, "gallery_group": groups}
    space = Space(((array,),), ((array,),))
    screened, found = (top_k(space, 9, backend=name, **options) for name in ("float32", "auto"))
    assert (found.index == screened.index).all()
    assert (found.similarity == screened.similarity).all()
