"""Every field of a probe, on functions of NumPy with known truth."""

import pytest

from tests.inspect.truth import compare
from tests.inspect.zoo import NUMPY


@pytest.mark.parametrize("name", NUMPY)
def test_every_field(name):
    compare(NUMPY[name], "numpy")
