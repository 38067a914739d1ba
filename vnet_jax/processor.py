"""What the processor at hand is and can do, as far as Linux tells."""

from __future__ import annotations

import functools
import platform
from pathlib import Path


def name() -> str:
    """Its name; on Linux `platform` alone says x86_64 or nothing."""
    return _told("model name") or platform.processor() or platform.machine()


@functools.cache
def features() -> frozenset[str]:
    """Its features by Linux's names, such as "avx512f"; empty where Linux is not."""
    return frozenset(_told("flags").split())


def multiplies_bfloat16() -> bool:
    """Whether it has AVX512_BF16; without it bfloat16 is slower than float32."""
    return "avx512_bf16" in features()


def has_matrix_units() -> bool:
    """Whether it has AMX, which multiplies bfloat16 many times faster than float32."""
    return "amx_bf16" in features()


def lanes() -> int:
    """float32 values in a vector register."""
    return 16 if "avx512f" in features() else 8


def _told(key: str) -> str:
    """The first value of a key in /proc/cpuinfo, or ""."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    pairs = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for k, _, value in pairs if k.strip() == key), "")
