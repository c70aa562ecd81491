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
    for result, wanted in zip(found.grams["result"][:, -1], found.grams["style"], strict=True):
        np.testing.assert_allclose(np.diag(result), np.diag(wanted), rtol=1e-6)


def test_instance_norm_erases_contrast_and_batch_norm_keeps_it(found):
    before, instance, batch = (found.contrast[key] for key in ("before", "instance", "batch"))
    assert np.ptp(instance) < 1e-3
    assert batch.max() / batch.min() > 1.5
    assert np.corrcoef(before, batch)[0, 1] > 0.8


def test_conditional_instance_norm_is_in_the_picture(found):
    """Beside AdaIN's, which the slider moves and the buttons change; at alpha = 1 both are one."""
    figure = style.figure()
    names = [a.text for a in figure.layout.annotations][:4]
    assert names == ["content", "AdaIN", "conditional IN", "style"]
    images = [trace for trace in figure.data if trace.type == "image" and trace.visible is not False]
    assert images[1].source == images[2].source == style.png(found.conditional[0])
    steps, places = figure.layout.sliders[0].steps, figure.layout.sliders[0].steps[0].args[2]
    moved = [figure.data[k].xaxis for k in places]
    assert moved == [images[1].xaxis] * 3 + ["x6"] * 3  # AdaIN's pictures, and their Gram matrices
    assert steps[0].args[0]["source"][0] == style.png(found.images[0, 0])
    np.testing.assert_array_equal(steps[-1].args[0]["z"][3], figure.data[places[3]].z)
    np.testing.assert_allclose(found.grams["conditional"], found.grams["result"][:, -1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("width", [360, 900])
def test_a_button_shows_one_style_whole(width):
    figure = style.figure(width=width)
    for button in figure.layout.updatemenus[0].buttons:
        changes, _, indices = button.args
        shown = [figure.data[k] for k, seen in zip(indices, changes["visible"], strict=True) if seen]
        assert [trace.type for trace in shown] == ["image", "heatmap"] * 3
        assert len({trace.xaxis for trace in shown}) == 6


def test_every_step_changes_the_picture():
    figure = style.figure()
    steps = figure.layout.sliders[0].steps
    assert len({str(step.args) for step in steps}) == len(steps)
    assert figure.layout.meta["alt"]
    assert len(figure.to_json()) < 600_000
