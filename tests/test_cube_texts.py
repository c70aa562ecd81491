"""What the plotly cube says: titles, letters, what is left out, and bad input."""

import numpy as np
import pytest

import normviz as nv

OTHER, LIT = 0, 1


@pytest.fixture
def figure():
    return nv.cube(nv.samples.activations(), index=(1, 6, 6, 6))


def test_texts(figure):
    times = "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}"
    assert figure.layout.title.text == "<b>Group Norm</b>, G = 4"
    assert figure.layout.title.subtitle.text == (
        f"The set of cell (1, 6, 6, 6), one of 16 sets: {times.join(['1', '4', '12', '12'])} = 576 cells share "
        "one mean and one variance."
    )
    assert figure.data[LIT].name == "one set of Group Norm: 576 cells"
    assert figure.data[OTHER].name == "other cells"
    said = [a.text for a in figure.layout.scene.annotations]
    assert said == ["n = 0", "n = 1", "n = 2", "n = 3", "<i>C</i>", "<i>H</i>", "<i>W</i>"]


def test_other_methods_texts():
    x = np.zeros((2, 6, 4), np.float32)
    figure = nv.cube(x, "rms")
    assert figure.layout.title.text == "<b>RMS Norm</b>"
    assert figure.layout.title.subtitle.text.endswith("6 cells share one mean square, and no mean is taken.")
    assert nv.cube(x[:1], "layer").layout.title.subtitle.text.startswith("The set of cell (0, 0, 0), the only set: ")
    alone = nv.cube(x[:1, :, 0], "instance")
    assert "= 1 cell shares one" in alone.layout.title.subtitle.text
    assert alone.data[LIT].name == "one set of Instance Norm: 1 cell"


@pytest.mark.parametrize(
    ("shape", "letters"),
    [((2, 3), ["C"]), ((2, 3, 5), ["C", "L"]), ((2, 3, 5, 4), ["C", "H", "W"]), ((2, 3, 2, 5, 4), ["C", "D, H", "W"])],
)
def test_letters(shape, letters):
    said = [a.text for a in nv.cube(np.zeros(shape)).layout.scene.annotations]
    assert said == ["n = 0", "n = 1", *(f"<i>{letter}</i>" for letter in letters)]
    layer = nv.cube(np.zeros(shape)).layout.updatemenus[0].buttons[1].label
    assert layer == f"○ Layer Norm ({', '.join(letters)})"


def test_long_axes_are_drawn_aggregated_and_it_says_so():
    figure = nv.cube(np.zeros((32, 256, 14, 14), np.float32), num_groups=32, index=(17, 100, 3, 3), width=900)
    lines = figure.layout.title.subtitle.text.replace("\N{NO-BREAK SPACE}", " ").split("<br>")
    assert lines[0].endswith("one of 1024 sets: 1 × 8 × 14 × 14 = 1568 cells share one mean and one variance.")
    assert lines[1:] == [
        "Samples 16 to 23 of 32 are shown.",
        "Drawn aggregated: each drawn cell stands for 32 cells along C.",
    ]
    assert [a.text for a in figure.layout.scene.annotations][:8] == [f"n = {n}" for n in range(16, 24)]
    assert len(figure.to_json()) < 150_000


def test_narrow_figures_wrap_their_text_and_fold_their_buttons():
    figure = nv.cube(nv.samples.activations(), width=360)
    assert figure.layout.width == 360
    assert max(map(len, figure.layout.title.subtitle.text.split("<br>"))) * 6.6 <= 360
    (menu,) = figure.layout.updatemenus
    assert (menu.type, len(menu.buttons)) == ("dropdown", len(nv.METHODS))


def test_weights_have_axes_of_their_own():
    said = [a.text for a in nv.cube(np.zeros((2, 3, 5, 4)), "weight_norm").layout.scene.annotations]
    assert said == ["Cout = 0", "Cout = 1", "<i>Cin</i>", "<i>kH</i>", "<i>kW</i>"]
    figure = nv.cube(np.zeros((9, 64, 3, 3)), "weight_standardization")
    assert figure.layout.title.subtitle.text.endswith(
        "<br>Filters 0 to 7 of 9 are shown.<br>Drawn aggregated: each drawn cell stands for 2 cells along Cin."
    )
    text = nv.cube(np.zeros((2, 64, 100, 3)), "weight_norm").layout.title.subtitle.text
    assert text.endswith("each drawn cell stands for 2 cells along Cin and 4 cells along kH.")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"num_groups": 3}, ValueError, "num_groups=3 does not divide C=16; these do: 1, 2, 4, 8, 16"),
        ({"method": "grup"}, ValueError, "unknown method 'grup'; did you mean 'group'?"),
        ({"method": "batch", "num_groups": 4}, ValueError, "num_groups=4 means nothing to method 'batch'"),
        ({"index": (0, 16, 0, 0)}, IndexError, "there is no cell (0, 16, 0, 0) in shape (4, 16, 12, 12)"),
        ({"index": 3}, TypeError, "index must be 4 whole numbers (n, c, ...), not 3"),
        ({"index": (0, 1.5, 0, 0)}, TypeError, "index must be 4 whole numbers (n, c, ...), not (0, 1.5, 0, 0)"),
        ({"widht": 800}, TypeError, "cube(): unknown keyword 'widht'; did you mean 'width'?"),
        ({"width": 100}, ValueError, "width must be a number of pixels from 320 to 100000, not 100"),
        ({"width": "wide"}, ValueError, "width must be a number of pixels from 320 to 100000, not 'wide'"),
        ({"channel_axis": 4}, ValueError, "channel_axis=4 is not an axis of x, rank 4"),
    ],
)
def test_bad_input(arguments, error, text):
    with pytest.raises(error) as caught:
        nv.cube(nv.samples.activations(), **arguments)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (np.zeros(3), ValueError, "x has rank 1"),
        (np.zeros((2, 0, 3)), ValueError, "x has an empty axis"),
        (np.zeros((2, 3), complex), TypeError, "x has dtype complex128"),
        (np.zeros((2, 3), object), TypeError, "x has dtype object"),
    ],
)
def test_bad_tensors(x, error, text):
    with pytest.raises(error, match=text):
        nv.cube(x)
