"""The figure of a recording: its numbers are the recording's, for each layer and each button."""

import json
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from normviz.charts import chart_html
from normviz.explorer.plotly_figure import Figure, in_words, plain
from normviz.inspect.record.figure_words import shortened
from tests.inspect.recordings import layer, many, recording


def buttons(figure):
    return {button.label: button.args for button in figure.layout.updatemenus[0].buttons}


def step_lines(figure, row):
    """By the title of its panel, the lines of a layer by name: the values by step."""
    traces, _, indices = figure.layout.sliders[0].steps[row].args
    found = {}
    for x, y, name, index in zip(traces["x"], traces["y"], traces["name"], indices, strict=True):
        trace = figure.data[index]
        title = figure.layout[trace.yaxis.replace("y", "yaxis")].title.text
        if title and trace.fill is None:
            found.setdefault(title, {})[name] = dict(zip(x, y, strict=True))
    return found


def as_array(rows):
    return np.array([[np.nan if v is None else v for v in row] for row in rows], float)


def assert_close(got, wanted):
    """To the four digits that a figure has."""
    np.testing.assert_allclose(np.array(got, float), wanted, rtol=6e-4)


def written_out_gap(of, t):
    """The gap of a step as root mean square over made-up normal values of every channel, one by one."""
    squares = []
    for c in range(of.mean.shape[1]):
        z = np.array([-1.0, 1.0])  # mean 0, variance 1
        x = of.mean[t, c] + z * np.sqrt(of.var[t, c])
        train = (x - of.mean[t, c]) / np.sqrt(of.var[t, c] + of.eps)
        infer = (x - of.running_mean[t, c]) / np.sqrt(of.running_var[t, c] + of.eps)
        squares.append(np.mean((train - infer) ** 2))
    return np.sqrt(np.mean(squares))


def test_the_heat_maps_are_the_recordings_numbers():
    r = many(5, 20, 8)
    figure = r.figure()
    assert type(figure) is Figure
    heat = figure.data[0]
    assert (list(heat.x), list(heat.y)) == (r.steps, r.layers)
    wanted = {
        "Variance": [np.median(r[name].var, 1) for name in r.layers],
        "Batch against running": [[written_out_gap(r[name], t) for t in range(20)] for name in r.layers],
        "Gradient norm": [r[name].grad_norm for name in r.layers],
    }
    assert list(buttons(figure)) == list(wanted)
    for label, (traces, layout, indices) in buttons(figure).items():
        assert [*indices] == [0]
        assert_close(as_array(traces["text"][0]), wanted[label])
        np.testing.assert_allclose(as_array(traces["z"][0]), np.log10(wanted[label]), atol=6e-4, rtol=6e-4)
        assert layout["coloraxis.cmin"] < layout["coloraxis.cmax"]
        assert layout["title.text"].startswith("<b>")


def test_the_lines_are_the_recordings_numbers():
    r = many(3, 20, 8, every=10)
    figure = r.figure()
    assert [step.label for step in figure.layout.sliders[0].steps] == r.layers
    for row, name in enumerate(r.layers):
        of, lines = r[name], step_lines(figure, row)
        for title, sets, running in (("variance", "set_var", "running_var"), ("mean", "set_mean", "running_mean")):
            shown = lines[f"{title} of the sets"]
            assert_close([shown["median of the sets"][t] for t in r.steps], getattr(of, sets)[:, 2])
            assert_close([shown["running, median"][t] for t in r.steps], np.median(getattr(of, running), 1))
            [channel] = [int(n.split()[1]) for n in shown if n.startswith("channel") and "running" not in n]
            assert_close(
                [shown[f"channel {channel}"][t] for t in r.steps],
                getattr(of, title[:4].replace("vari", "var"))[:, channel],
            )
            assert_close([shown[f"channel {channel}, running"][t] for t in r.steps], getattr(of, running)[:, channel])
        assert_close([lines["gradient norm"]["gradient norm"][t] for t in r.steps], of.grad_norm)


def test_the_band_is_between_the_quartiles():
    r = many(1, 6, 8)
    [band] = [t for t in r.figure().data if t.yaxis == "y5" and t.fill]
    sets = next(iter(r[name] for name in r.layers)).set_var
    assert list(band.x) == [*range(6), *range(5, -1, -1)]
    assert_close(band.y, [*sets[:, 1], *sets[::-1, 3]])


def test_the_channel_that_a_warning_names_is_drawn():
    one = layer("bn", 20, 8)
    weight = np.ones((20, 8))
    weight[5:, 3] = 1e-4
    r = recording([replace(one, weight=weight), layer("other", 20, 8)])
    assert [w.code for w in r.warnings if w.layer == "bn"] == ["weight-near-zero"]
    figure = r.figure()
    assert "channel 3" in step_lines(figure, 0)["variance of the sets"]
    # It is marked in the row of its layer, and in the layer's panels where it begins.
    marks = figure.data[1]
    at = [w.layer for w in r.warnings].index("bn")
    assert (marks.x[at], marks.y[at]) == (5, 0)
    assert marks.hovertext[at] == "bn<br>weight-near-zero, step 5"
    begins = step_lines(figure, 0)["gradient norm"]["a warning begins"]
    assert 5 in begins


def test_what_was_never_recorded_has_no_button_and_no_panel():
    figure = many(3, 20, 8, kind="group", grad=False).figure()
    assert list(buttons(figure)) == ["Variance"]
    assert "No layer has running statistics." in figure.layout.meta["caption"]
    assert {t.yaxis for t in figure.data} == {"y", "y3", "y5", "y6"}
    mixed = recording([layer("a"), layer("b", kind="group")]).figure()
    assert "1 layer of 2 without running statistics." in mixed.layout.meta["caption"]
    assert buttons(mixed)["Batch against running"][0]["text"][0][1] == [None] * 20


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_values_that_have_no_logarithm_are_empty(value):
    one = layer("bn", 20, 8)
    var, sets = one.var.copy(), one.set_var.copy()
    var[4:7], sets[4:7] = value, value
    figure = recording([replace(one, var=var, set_var=sets), layer("other")]).figure()
    z = buttons(figure)["Variance"][0]["z"][0][0]
    assert [t for t, v in enumerate(z) if v is None] == [4, 5, 6]
    json.loads(figure.to_json())
    if value != 0:
        title = plain(buttons(figure)["Variance"][1]["title.text"])
        assert title == "NaN or infinity in 1 of 2 layers, first in bn at step 4"


def test_equal_values_and_a_layer_that_is_rarely_called():
    one = layer("bn", 20, 8)
    called = np.arange(20) % 3 == 0
    count, var = np.where(called, 128, 0), np.where(called[:, None], 2.0, np.nan) * np.ones(8)
    rare = replace(one, name="rare", count=count, var=var, set_var=np.where(called[:, None], 2.0, np.nan) * np.ones(5))
    figure = recording([one, rare]).figure()
    shown = step_lines(figure, 1)["variance of the sets"]["median of the sets"]
    assert shown == dict.fromkeys(range(0, 20, 3), 2.0)
    layout = figure.layout.sliders[0].steps[1].args[1]
    low, high = layout["yaxis5.range"]
    assert low < np.log10(2) < high


@pytest.mark.parametrize(("L", "T"), [(1, 1), (1, 2), (2, 500), (2, 5000), (200, 20)])
@pytest.mark.parametrize("presenter", [False, True])
def test_any_number_of_layers_and_steps(L, T, presenter):
    figure = many(L, T, 2).figure(presenter=presenter)
    heat = figure.data[0]
    assert len(heat.y) == L
    assert (heat.x[0], heat.x[-1]) == (0, T - 1)
    assert len(figure.to_json()) < 3_000_000
    thinned = "500 of 5000 recorded steps, evenly spaced" in figure.layout.meta["caption"]
    assert thinned == (T == 5000)
    assert (len(figure.layout.sliders) == 1) == (L > 1)


def test_every_step_and_button_sets_each_trace_it_names():
    """For plotly a None would remove the value; for a projector, z and text stand in no line."""
    for presenter in (False, True):
        figure = many(3, 20, 8).figure(presenter=presenter)
        for step in (*figure.layout.sliders[0].steps, *figure.layout.updatemenus[0].buttons):
            traces, _, indices = step.args
            for key, values in traces.items():
                assert len(values) == len(indices)
                if presenter and key in ("z", "text"):
                    assert all(
                        v is not None or figure.data[i].type == "scatter" for v, i in zip(values, indices, strict=True)
                    )
                else:
                    assert None not in values


def test_for_a_projector_the_panel_follows_the_button():
    figure = many(3, 20, 8).figure(presenter=True)
    assert (figure.layout.width, figure.layout.height) == (1240, 670)
    for label, axis in (("Variance", 5), ("Batch against running", 6), ("Gradient norm", 7)):
        traces, layout, indices = buttons(figure)[label]
        assert [k for k in (5, 6, 7) if layout[f"yaxis{k}.visible"]] == [axis]
        lit = {figure.data[i].yaxis for i, on in zip(indices, traces["visible"], strict=True) if on}
        assert lit == {"y", f"y{axis}"}


def test_findings():
    still = recording([layer("a", 20, 8), layer("b", 20, 8, seed=1)])
    said = {label: plain(args[1]["title.text"]) for label, args in buttons(still.figure()).items()}
    ratios = [np.median(still[n].var[-1]) / np.median(still[n].var[0]) for n in "ab"]
    ratio = max(max(q, 1 / q) for q in ratios)
    assert said["Variance"] == f"From step 0 to 19, no layer’s variance changes by more than a factor of {ratio:.3g}"
    last = {n: still[n].grad_norm[-1] for n in "ab"}
    low, high = sorted(last, key=last.get)
    assert (
        said["Gradient norm"]
        == f"The last gradient norm is between {last[low]:.3g} ({low}) and {last[high]:.3g} ({high})"
    )
    close = recording([layer("a", trail=0.9), layer("b", trail=0.8, seed=1)])
    gaps = {n: written_out_gap(close[n], -1) for n in "ab"}
    most = max(gaps, key=gaps.get)
    apart = f"at the end they are at most {gaps[most]:.2g} standard deviations apart, in {most}"
    title = plain(buttons(close.figure())["Batch against running"][1]["title.text"])
    assert title == f"Running statistics follow the batches: {apart}"
    drift = replace(layer("c", 80, 8), mean=np.linspace(0, 300, 80)[:, None] * np.ones(8))
    trail = recording([layer("a", 80, 8, trail=0.9), drift])
    [warning] = [w for w in trail.warnings if w.code == "running-behind"]
    said = plain(buttons(trail.figure())["Batch against running"][1]["title.text"])
    assert said == f"Running statistics trail in 1 of 2 layers: c, {warning.numbers['gap']:.2g} standard deviations"


def test_words():
    figure = many(5, 20, 8).figure()
    assert chart_html.alt(figure).startswith("A heat map of 5 normalization layers over 20 recorded steps; buttons ")
    assert plain(figure.layout.title.text) in in_words(figure).replace("\n", " ")


def test_a_name_that_is_a_number_stands_after_the_word():
    r = many(3, 20, 8, names="{}3")
    other = many(3, 20, 8, names="{}3", seed_from=10)
    titles = [args[1]["title.text"] for args in buttons(r.figure(other)).values()]
    assert len(titles) == 3
    for title in titles:
        assert re.search("layer\N{NO-BREAK SPACE}[012]3", title.replace("<br>", " "))
    assert r.explore("13").subject.title == "Layer\N{NO-BREAK SPACE}13"


def test_names_are_short_on_the_axis_and_whole_elsewhere():
    name = "features.denseblock3.denselayer12.norm1.<b>.module.module"
    figure = recording([layer(name), layer("bn")]).figure()
    escaped = name.replace("<b>", "&lt;b&gt;")
    assert list(figure.data[0].y) == [escaped, "bn"]
    assert figure.layout.yaxis3.ticktext == (shortened(name, 24), "bn")
    assert len(unescape(shortened(name, 24))) == 24
    assert figure.layout.sliders[0].steps[0].label == escaped


# ---- two recordings ----


def test_two_runs_have_one_scale_and_lines_of_both():
    r, other = many(3, 20, 8), many(3, 30, 8, every=2, kind="group", seed_from=10)
    figure = r.figure(other)
    heats = [t for t in figure.data if t.type == "heatmap"]
    assert [list(t.x) for t in heats] == [r.steps, other.steps]
    assert {t.coloraxis for t in heats} == {"coloraxis"}
    for run, heat in zip((r, other), heats, strict=True):
        assert_close(as_array(heat.text), [np.median(run[name].var, 1) for name in run.layers])
    shown = step_lines(figure, 1)["variance of the sets"]
    assert_close([shown["Batch Norm: median of the sets"][t] for t in r.steps], r["layer1.bn"].set_var[:, 2])
    assert_close([shown["Group Norm: median of the sets"][t] for t in other.steps], other["layer1.bn"].set_var[:, 2])
    drawn = {t.name: t.line for t in figure.data if t.yaxis == "y5" and "median of the sets" in t.name}
    assert [line.dash for line in drawn.values()] == ["solid", "dash"]
    assert len({line.color for line in drawn.values()}) == 2


def test_runs_are_named_after_what_they_differ_in():
    small = recording([replace(layer("a"), samples=np.full(20, 2))])
    figure = recording([layer("a")], every=3).figure(small)
    # Their batch sizes differ, so the lines are drawn over the samples seen.
    lines = {t.name.replace("\N{NO-BREAK SPACE}", " "): t for t in figure.data if t.yaxis == "y5" and t.name}
    assert list(lines["N = 8: median of the sets"].x) == [8 * 3 * t for t in range(20)]
    assert list(lines["N = 2: median of the sets"].x) == [2 * t for t in range(20)]
    assert figure.layout.xaxis5.title.text == "samples seen"
    assert [list(t.x)[1] for t in figure.data if t.type == "heatmap"] == [3, 1]
    assert "this run: median of the sets" in [t.name for t in small.figure(small).data]


def test_layers_of_one_run_only_are_said():
    names = "abcdef"
    r = recording([layer(n) for n in names])
    figure = r.figure(recording([layer("x"), layer("b")]))
    assert list(figure.data[0].y) == ["b"]
    assert "Only in this run: a, c, d and 2 more. Only in the other run: x." in figure.layout.meta["caption"]


# ---- what cannot be drawn ----


def test_bad_input():
    r = many(4, 5, 2)
    with pytest.raises(TypeError, match=r"^other must be a Recording, as nv\.record gives, not ndarray$"):
        r.figure(np.zeros(3))
    message = r"^the recording has no step to draw; call the model in train mode inside `with nv\.record\(model\)`$"
    for empty in (recording([]), recording([layer("a", steps=0)])):
        with pytest.raises(ValueError, match=message):
            empty.figure()
        with pytest.raises(ValueError, match=r"^the other recording has no step to draw; "):
            r.figure(empty)
    message = (
        r"^the two recordings have no layer in common: layer0\.bn, layer1\.bn, layer2\.bn and 1 more; and other\.bn$"
    )
    with pytest.raises(ValueError, match=message):
        r.figure(recording([layer("other.bn", 5)]))
    with pytest.raises(ValueError, match=r"^width must be a number of pixels from 320 to 9999, not 3$"):
        r.figure(width=3)
    with pytest.raises(TypeError, match=r"^presenter must be True or False, not 1$"):
        r.figure(presenter=1)


# ---- the page ----


def test_a_large_page_is_small_enough():
    """50 layers of 256 channels over 500 steps, none thinned."""
    r = many(50, 500, 256)
    page = r.to_html()
    assert len(page.encode()) < 6_000_000
    assert "of 500 recorded steps" not in page


def test_the_page_is_whole_and_escaped(tmp_path):
    name = "<img src=x onerror=alert(1)>"
    weight = np.ones((20, 8))
    weight[5:, 3] = 1e-4
    r = recording([replace(layer(name), weight=weight), layer("bn")])
    path = tmp_path / "run.html"
    assert r.to_html(path) is None
    page = path.read_text("utf-8")
    assert page == r.to_html()
    assert '<html lang="en">' in page
    assert "default-src 'none'" in page
    assert "<img" not in page
    assert "<code>weight-near-zero</code>" in page
    assert "Prune the channel, or exclude norm layers from weight decay." in page


def test_a_page_that_cannot_be_written(tmp_path):
    r = many(1, 3, 2)
    with pytest.raises(TypeError, match=r"^path must be a str or a Path, not int$"):
        r.to_html(3)
    with pytest.raises(IsADirectoryError, match="is a folder; give the name of a file in it"):
        r.to_html(tmp_path)
    with pytest.raises(ValueError, match=r"^the recording has no step to draw"):
        recording([]).to_html(tmp_path / "run.html")
    assert [*tmp_path.iterdir()] == []
