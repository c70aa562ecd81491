import numpy as np
import pytest

from normviz import samples
from normviz.labs import style


@pytest.fixture(scope="module")
def found():
    return style.measure()


def test_the_frame_inverts_and_keeps_energy(found):
    assert found.reconstruction < 1e-12
    x = samples.photographs(2) / 255
    np.testing.assert_allclose((style.features(x) ** 2).sum(), (x**2).sum(), rtol=1e-12)


def test_alpha_runs_from_the_content_to_conditional_instance_norm(found):
    content = samples.photographs()[found.content] / 255
    np.testing.assert_allclose(found.images[:, 0], np.broadcast_to(content, (3, 3, 64, 64)), atol=1e-12)
    np.testing.assert_allclose(found.images[:, -1], found.conditional, atol=1e-10)


def test_the_result_has_the_styles_energy_in_every_feature(found):
    for result, wanted in zip(found.grams["result"], found.grams["style"], strict=True):
        np.testing.assert_allclose(np.diag(result), np.diag(wanted), rtol=1e-6)


def test_instance_norm_erases_contrast_and_batch_norm_keeps_it(found):
    before, instance, batch = (found.contrast[key] for key in ("before", "instance", "batch"))
    assert np.ptp(instance) < 1e-3
    assert batch.max() / batch.min() > 1.5
    assert np.corrcoef(before, batch)[0, 1] > 0.8


def test_every_step_changes_the_picture():
    figure = style.figure()
    steps = figure.layout.sliders[0].steps
    assert len({str(step.args) for step in steps}) == len(steps)
    assert figure.layout.meta["alt"]
    assert len(figure.to_json()) < 600_000


def test_bad_input_is_told_in_one_sentence():
    with pytest.raises(ValueError, match="content=9 is not from 0 to 7"):
        style.measure(9)
    with pytest.raises(ValueError, match="styles or alphas is empty"):
        style.measure(0, ())
    with pytest.raises(ValueError, match="alpha=2 is not between 0"):
        style.measure(alphas=(2,))
