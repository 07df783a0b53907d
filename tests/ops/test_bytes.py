"""Looking up and counting bytes equal indexing and counting numbers."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from segue.ops.bytes import count_bytes, look_up


@given(st.integers(0, 999), st.sampled_from([(), (0, 3), (5,), (3, 4), (2, 1, 3, 5)]))
def test_as_indexing_and_as_bincount(seed: int, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    table = torch.randint(0, 256, (256,), dtype=torch.uint8, generator=generator)
    assert torch.equal(look_up(values, table), table[values.long()])
    assert torch.equal(count_bytes(values), torch.bincount(values.flatten().long(), minlength=256))
    turned = values.T if values.ndim == 2 else values
    assert torch.equal(look_up(turned, table), table[turned.long()])
