"""What a recording says at its end: why something of the run is not in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from normviz.inspect.audit.table import plural
from normviz.inspect.audit.tensors import is_scripted, named_modules, short_name
from normviz.inspect.audit.torch_norms import function_of
from normviz.inspect.record.candidates import compiled_parts

if TYPE_CHECKING:
    from normviz.inspect.record.recorder import Recorder


def what_is_missing(recorder: Recorder, model: Any) -> list[str]:
    """Return a sentence for each reason why something of the run is not in the recording."""
    said, who = [], type(model).__name__
    if recorder.elsewhere:
        said.append(
            f"{who} was called {plural(recorder.elsewhere, 'time')} on another thread, which is not recorded; "
            "enter nv.record on the thread that trains"
        )
    if not recorder.calls and not recorder.elsewhere:
        said.append(
            f"{who} was not called while it was recorded, so there are no steps; call this very model, as model(x) and "
            "not as model.forward(x), and not a copy or a compiled one"
        )
    elif recorder.calls and not recorder.trained:
        said.append(
            f"{who} was called in eval mode only, so there are no steps; call model.train() before the training"
        )
    elif recorder.steps and not recorder.series and not recorder.unreadable:
        wanted = "none of the layers asked for was called" if recorder.wanted else "it called no normalization layer"
        said.append(
            f"{who} was recorded, but {wanted} in a training forward; nv.audit(model, example) lists its layers"
        )
    elif recorder.series and recorder.wanted:
        absent = [short_name(name) for name in recorder.wanted if name not in recorder.series]
        if absent:
            said.append(f"not called in a recorded training forward, so not recorded: {', '.join(absent)}")
    if recorder.changed:
        step, names = recorder.changed
        some = ", ".join(map(short_name, names[:5])) + ", ..." * (len(names) > 5)
        said.append(
            f"the layers of {who} changed before training forward {step} ({some}); a layer keeps its name and gets NaN "
            "where it is not called: start a new recording after a change"
        )
    compiled = compiled_parts(model)
    if compiled and recorder.calls:
        said.append(
            f"torch.compile has compiled {short_name(compiled[0])} inside the block, and compiled code calls no hooks; "
            "compile after the recording"
        )
    hidden = _inside_scripted(model)
    if hidden and not recorder.wanted:
        some = ", ".join(hidden[:5]) + ", ..." * (len(hidden) > 5)
        said.append(f"torch.jit has compiled what is around {some}, and calls no hooks inside, so not recorded")
    resized = {name: s for name, s in recorder.series.items() if s.resized}
    for name, series in resized.items():
        step, channels = series.resized  # type: ignore[misc]
        said.append(
            f"{short_name(name)} had C = {series.norm.channels} channels, and C = {channels} in training forward "
            f"{step}, which is not recorded; record such calls by themselves"
        )
    said += [f"{short_name(name)} could not be measured: {why}" for name, why in recorder.unreadable.items()]
    return said


def _inside_scripted(model: Any) -> list[str]:
    """Return the names of the normalization layers inside modules that torch.jit has compiled."""
    named = [*named_modules(model)]
    around = tuple(f"{name}." for name, module in named if is_scripted(module))
    return [name for name, module in named if name.startswith(around) and function_of(module)] if around else []
