"""One check from the first call to the findings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from normviz.arrays.arguments import uncanonical
from normviz.core.pooling import canonical
from normviz.inspect._call import Answer, Asked, Refusal, owner
from normviz.inspect.check import gradients, held, inputs
from normviz.inspect.check import precision as numerics
from normviz.inspect.check import running_stats as states
from normviz.inspect.check.codes import HINTS
from normviz.inspect.check.known_bugs import Change, Explanation, changes, explain, near
from normviz.inspect.check.ledger import Ledger
from normviz.inspect.check.localize import first_wrong
from normviz.inspect.check.setup import Started, Wanted, start
from normviz.inspect.check.simulate import Recipe, Scene, right
from normviz.inspect.check.verdict import Finding, Verdict


class Examination:
    """One check: what was asked, what has been found, and the experiments in their order."""

    def __init__(
        self,
        fn: Callable,
        wanted: Wanted,
        *,
        backward: Callable | None = None,
        running: tuple[str, str] | None = None,
        momentum: float | None = None,
    ) -> None:
        self.fn, self.wanted, self.backward = fn, wanted, backward
        self.running, self.momentum = running, momentum
        self.ledger = Ledger(wanted.channel_axis)
        self.skipped: dict[str, str] = {}
        self.state: states.State | None = None
        self.started: Started | None = None
        self.cause: BaseException | None = None

    def verdict(self) -> Verdict:
        """Run the experiments."""
        started = start(self.fn, self.wanted, self._mode)
        if isinstance(started, Refusal):
            self._refused(started)
        else:
            self.started = started
            try:
                self._examine(started)
            except Refusal as error:
                self._refused(error)
        wanted, started = self.wanted, self.started
        more: dict[str, Any] = {}
        if started is not None:
            asked = started.asked
            shape = uncanonical(np.empty(started.pool.shape, np.int8), wanted.channel_axis).shape
            more = {"shape": shape, "framework": asked.framework, "dtype": asked.dtype, "calls": asked.calls}
        if self.ledger.shown is not None:
            x, more["wrong"] = self.ledger.shown
            more["x"] = np.ascontiguousarray(uncanonical(x, wanted.channel_axis))
        return Verdict(
            findings=tuple(self.ledger.findings),
            method=wanted.method,
            num_groups=wanted.num_groups,
            eps=wanted.eps,
            channel_axis=wanted.channel_axis,
            skipped=self.skipped,
            cause=self.cause,
            **more,
        )

    # ---- the experiments ----

    def _mode(self, fn: Callable, asked: Asked) -> Callable[[], Any] | None:
        """Look for Batch Norm's state, and return what sets fn to train."""
        if self.wanted.method != "batch":
            return None
        keeper = owner(fn)
        mode, slots = held.mode(keeper, asked), held.running(keeper, self.running)
        self.state = None
        if slots is not None:
            self.state = states.State(slots, mode, self.momentum)
            self.state.fill(np.random.default_rng(self.wanted.seed))
            asked.found = type(asked.found)(fn)
        elif mode is not None and mode.by == "train() and eval()":
            self.skipped["running statistics"] = "found under none of the usual names; give running=(mean, var)"
        return None if mode is None else lambda: mode.set(True)

    def _examine(self, started: Started) -> None:
        x, answer = started.first
        if not self._whole(started, x, answer) or self._random(started, x, answer):
            return
        if answer.changed:
            self.ledger.add(
                "changes-input", "writes its result into the array that it is given; the caller's x is gone"
            )
        if answer.dtype != started.asked.dtype and "keras" not in started.asked.found.packages:
            said = f"returns {answer.dtype} for {started.asked.dtype}"
            self.ledger.add("wrong-dtype", said, pair=(started.asked.dtype, answer.dtype))
        base = right(started.pool, self.wanted.eps)
        if started.per_group:
            G, C = self.wanted.num_groups, started.pool.shape[1]
            said = f"has one weight and one bias for each of its {G} groups, not for each of the {C} channels"
            self.ledger.add("affine-per-group", said, pair=((C,), (G,)))
        tests = self._tests(started, base)
        recipe, tolerance = self._forward(started, base, tests)
        if "float16-accumulation" in self.ledger.codes:
            return
        if recipe is None:
            self.skipped["rounding, state and gradient"] = "they can be told only once the output is right"
            return
        self._more(started, recipe, base, tolerance)

    def _more(self, started: Started, recipe: Recipe, base: Recipe, tolerance: float) -> None:
        for trouble in numerics.troubles(started, recipe, tolerance):
            if trouble.code == "cancellation" and (library := numerics.library(started.asked)):
                self.skipped["large means"] = f"{library} takes its variance as E[x^2] - E[x]^2, which cancels there"
            elif trouble.code not in self.ledger.codes:
                self.ledger.report(trouble)
        if self.state is not None:
            if recipe.cut != base.cut:
                self.skipped["running statistics"] = "the sets are wrong"
            else:
                for trouble in states.troubles(started, self.state, recipe, base, tolerance):
                    self.ledger.report(trouble)
        if "train-uses-running" in self.ledger.codes or "wrong-shape" in self.ledger.codes:
            self.skipped["gradient"] = "the output is another function's"
            return
        backward = gradients.backward_of(self.fn, self.backward)
        for trouble in gradients.troubles(started, recipe, backward, tolerance):
            if isinstance(trouble, str):
                self.skipped["gradient"] = trouble
            else:
                self.ledger.report(trouble)

    def _whole(self, started: Started, x: np.ndarray, answer: Answer) -> bool:
        """Look at the shape that came back, and find a way to compare it anyway."""
        shape = uncanonical(x, self.wanted.channel_axis).shape
        if answer.shape == shape:
            return True
        said = f"returns shape {answer.shape} for an input of shape {shape}"
        self.ledger.add("wrong-shape", said, pair=(shape, answer.shape))
        if answer.y.size != x.size:
            self.skipped["values"] = "their number is another one"
            return False
        base = right(started.pool, self.wanted.eps)
        expected = started.scene(x).whole().output(base)
        tolerance = inputs.TOLERANCE[started.asked.resolution]
        ways = [lambda y: y.reshape(shape)]
        for source in {len(shape) - 1, 1} if len(answer.shape) == len(shape) else ():
            target = 1 if source > 1 else len(shape) - 1
            if np.moveaxis(answer.y, source, target).shape == shape:
                ways.append(lambda y, s=source, t=target: np.moveaxis(y, s, t))
        for way in ways:
            y = canonical(way(answer.y), self.wanted.channel_axis).reshape(-1)
            if near(y, expected, tolerance).all():
                break
        started.arrange = way
        return True

    def _random(self, started: Started, x: np.ndarray, answer: Answer) -> bool:
        """Whether the same question has another answer the next time."""
        asked, tolerance = started.asked, inputs.TOLERANCE[started.asked.resolution]
        for code, said, fresh in (
            ("stateful", "gives another output for the same input once it has been called", False),
            ("random", "gives another output for the same input when it is called again", True),
        ):
            again = asked.ask(x, fresh=fresh)
            same = again.shape == answer.shape
            if not same or not near(again.y.reshape(-1), answer.y.reshape(-1), tolerance).all():
                self.ledger.add(code, said)
                return True
        return False

    def _tests(self, started: Started, base: Recipe) -> list[tuple[str, Scene, np.ndarray, Any, Any]]:
        """Ask fn for every input: its name, the scene, the whole output, and what was kept before and after."""
        rng = np.random.default_rng(self.wanted.seed)
        tests = []
        made = inputs.inputs(started.pool.shape, rng, self.wanted.eps, started.asked.resolution)
        for name, x in made.items():
            x = started.asked.round(x)
            started.asked.found.restore()
            before = self.state.read() if self.state else None
            answer = started.asked.ask(x)
            after = self.state.read() if self.state else None
            y = canonical(started.arrange(answer.y), self.wanted.channel_axis).reshape(-1)
            tests.append((name, started.scene(x), y, before, after))
        return tests

    def _forward(self, started: Started, base: Recipe, tests: list) -> tuple[Recipe | None, float]:
        """Compare the outputs, and name what is wrong with them. Return the recipe that explains them."""
        strict = inputs.TOLERANCE[started.asked.resolution]
        for tolerance in dict.fromkeys((strict, max(strict, 1e-4))):
            if all(near(y, scene.whole().output(base), tolerance).all() for _, scene, y, *_ in tests):
                self._note_precision(tolerance, strict)
                return base, tolerance
            known = changes(tests[0][1], self.wanted.eps, self.wanted.channel_axis)
            compared = [(scene, scene.flat(y)) for _, scene, y, *_ in tests]
            found = explain(compared, known, base, tolerance)
            if len(found) == 1:
                self._note_precision(tolerance, strict)
                for change in found[0].changes:
                    self.ledger.name(change, found[0], base, tests)
                return found[0].recipe, tolerance
            if found:
                self._either(found, base, tests, tolerance)
                return None, tolerance
            if self.state is not None and (running := self._running(tests, base, known, tolerance)) is not None:
                return running, tolerance
        return self._in_float16(started, base, tests) or self._stage(base, tests, max(strict, 1e-6)), strict

    def _in_float16(self, started: Started, base: Recipe, tests: list) -> Recipe | None:
        """What explains the output to the digits that float16 has, if fn computes in it whatever it is given."""
        compared = [(scene, scene.flat(y)) for name, scene, y, *_ in tests if name in ("ordinary", "other")]
        if all(near(y, scene.output(base), 2e-2).all() for scene, y in compared):
            found = [Explanation((), base)]
        else:
            known = changes(compared[0][0], self.wanted.eps, self.wanted.channel_axis)
            found = explain(compared, [c for c in known if not c.code.startswith("eps")], base, 2e-2)
        if len(found) != 1 or (trouble := numerics.float16_inside(started)) is None:
            return None
        for change in found[0].changes:
            self.ledger.name(change, found[0], base, tests[:2])
        self.ledger.report(trouble)
        self.skipped["eps"] = "float16 is too coarse for it"
        return found[0].recipe

    def _note_precision(self, tolerance: float, strict: float) -> None:
        if tolerance > strict:
            self.skipped["digits beyond the fourth"] = "fn computes in float32 inside, whatever it is given"

    def _running(self, tests: list, base: Recipe, known: list[Change], tolerance: float) -> Recipe | None:
        compared = [(scene, scene.flat(y), before, after) for _, scene, y, before, after in tests]
        found = states.uses_running(compared, base, known, tolerance)
        if found is None:
            return None
        _, scene, y, *_ = tests[0]
        whole = scene.whole()
        expected = whole.output(base)
        said = "normalizes with its running statistics in train mode, not with the batch's own"
        wrong = ~near(y, expected, tolerance)
        self.ledger.report(numerics.Trouble("train-uses-running", said, whole, y, expected, wrong))
        for change in found[1]:
            self.ledger.add(change.code, change.said, details=change.details)
        return found[0]

    def _either(self, found: list[Explanation], base: Recipe, tests: list, tolerance: float) -> None:
        ways = sorted({" with ".join(sorted(e.codes)) for e in found})
        stage, whole, y, expected, wrong = self._first(base, tests, tolerance)
        said = f"{stage.said}. Either {' or '.join(ways)} would explain it, and these inputs cannot tell which"
        self.ledger.add(stage.code, said, whole, y, expected, wrong, stage.cell, details={"either": ways})

    def _stage(self, base: Recipe, tests: list, tolerance: float) -> None:
        """Report the first wrong stage."""
        stage, whole, y, expected, wrong = self._first(base, tests, tolerance)
        self.ledger.add(stage.code, stage.said, whole, y, expected, wrong, stage.cell, details=stage.details)

    def _first(self, base: Recipe, tests: list, tolerance: float) -> tuple:
        for name, scene, y, *_ in tests:
            whole = scene.whole()
            expected = whole.output(base)
            wrong = ~near(y, expected, tolerance)
            if wrong.any():
                other = (tests[1][1].whole(), tests[1][2])
                return first_wrong(name, whole, y, base, tolerance, other), whole, y, expected, wrong
        raise AssertionError("only outputs that are wrong somewhere come here")

    def _refused(self, error: Refusal) -> None:
        code = "no-array" if "not an array" in str(error) or "no real numbers" in str(error) else "raises"
        self.cause = error.__cause__ or error
        self.ledger.findings.append(Finding(code, f"{error}.", hint=HINTS[code]))
