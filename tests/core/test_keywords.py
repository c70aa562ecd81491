"""A misspelt keyword is an error that names the nearest one, on every public function."""

import pytest

import normviz as nv
from normviz.core.errors import check_keywords

FUNCTIONS = [nv.pooling, nv.moments, nv.sweep, nv.statistics, nv.normalize, nv.gradient, nv.Moments.pool]


@pytest.mark.parametrize("function", [*FUNCTIONS, nv.RunningStatistics, nv.RunningStatistics.update])
def test_every_function_checks_the_spelling_of_keywords(function):
    with pytest.raises(TypeError, match=rf"^{function.__qualname__}\(\): unknown keyword 'metod'"):
        function(metod="batch")


def test_checking_keywords_keeps_the_signature():
    @check_keywords
    def f(a, /, b, *, c=1):
        """Say something."""
        return a, b, c

    assert (f.__name__, f.__doc__) == ("f", "Say something.")
    assert f(1, b=2) == (1, 2, 1)
    with pytest.raises(TypeError, match=r"^f\(\): unknown keyword 'a' \(known: b, c\)$"):
        f(a=1, b=2)
