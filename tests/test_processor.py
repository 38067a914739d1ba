from pathlib import Path

import pytest

from vnet_jax import processor
from vnet_jax.models import conv

TOLD = """processor\t: 0
model name\t: Some Processor 9
flags\t\t: fpu avx2 avx512f

processor\t: 1
flags\t\t: fpu
"""


@pytest.fixture
def told(monkeypatch):
    """Has Linux tell another text, or nothing."""

    def tell(text):
        def read(path, **options):
            if text is None:
                raise FileNotFoundError(path)
            return text

        monkeypatch.setattr(Path, "read_text", read)
        processor.features.cache_clear()

    yield tell
    processor.features.cache_clear()


def test_name_and_features_of_the_first_core(told):
    told(TOLD)
    assert processor.name() == "Some Processor 9"
    assert processor.features() == {"fpu", "avx2", "avx512f"}
    assert processor.lanes() == 16 and not processor.multiplies_bfloat16()


def test_without_avx512_a_register_holds_8(told):
    told(TOLD.replace("avx512f", "sse"))
    assert processor.lanes() == 8


def test_matrix_units_decide_what_a_cpu_trains_in(told, monkeypatch):
    monkeypatch.setattr(conv.jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(conv, "quick_dtype", lambda: "bfloat16")
    told(TOLD.replace("avx2", "avx512_bf16"))
    assert conv.training_dtype() == "float32"
    told(TOLD.replace("avx2", "avx512_bf16 amx_bf16"))
    assert conv.training_dtype() == "bfloat16"


def test_where_linux_is_not_nothing_is_known(told):
    told(None)
    assert processor.features() == set() and processor.name()
