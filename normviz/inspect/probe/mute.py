"""Sets with mute cells, which a mask leaves out of the statistics: they may answer to a set, and change no other cell.

So the sets are told apart by which cells answer alike. What a changed cell does itself says nothing here.
"""

from __future__ import annotations

import numpy as np

from normviz.inspect.probe.sets import Experiment, Log, Sets, number

MOST_PATTERNS = 2000
"""Sets of which only so many cells differ in what they answer are told apart, which takes a second at most."""


def find_masked(
    experiment: Experiment, shape: tuple[int, ...], rng: np.random.Generator, log: Log, max_calls: int
) -> Sets | None:
    """Find the sets by the cells that answer alike; None if no disjoint sets with some mute cells explain the calls.

    `log` holds calls that changed few cells.
    """
    log, labels, active, steady = [*log], np.zeros(shape, int), np.zeros(shape, bool), 0
    keys = np.zeros(labels.size, int)
    for turn in range(max_calls):
        mask = _choose(labels, log, rng, turn, active)
        log.append((mask, experiment(mask)))
        for changed, responded in log if turn == 0 else log[-1:]:
            keys = number(keys * 4 + changed.ravel() * 2 + responded.ravel())
        if (alike := _alike(log, keys)) is None:
            return None
        found, certain = alike
        same, labels = np.array_equal(found, labels.ravel()), found.reshape(shape)
        roles = _roles(found, log)
        if roles is None and (certain or turn > 6):
            return None
        active, mute, proven = roles or (np.zeros(shape, bool), None, False)
        steady = steady + 1 if proven and same and certain else 0
        if steady == 2:
            break
    if steady < 2 or mute is None or not _are_mute(experiment, mute.reshape(shape)):
        return None
    answers = np.any([response & ~mask for mask, response in log], axis=0)
    alone = (np.bincount(labels.ravel(), answers.ravel()) == 0)[labels]
    active, mute = active.reshape(shape), mute.reshape(shape)
    labels = number(np.where(alone, labels.size + np.arange(labels.size).reshape(shape), labels))
    responded = np.any([response for _, response in log], axis=0)
    mute &= ~alone
    return Sets(labels, True, responded, log, active=active & ~alone, mute=mute if mute.any() else None)


def find_mute(experiment: Experiment, labels: np.ndarray, rng: np.random.Generator, calls: int) -> np.ndarray:
    """Return cells that change no other one of their sets, among `calls` of each set."""
    log: Log = []
    order = np.argsort(rng.random(labels.size))
    by_set = order[np.argsort(labels.ravel()[order], kind="stable")]
    start = np.searchsorted(labels.ravel()[by_set], np.arange(labels.max() + 1))
    size = np.bincount(labels.ravel())
    for turn in range(min(calls, size.max())):
        mask = np.zeros(labels.size, bool)
        mask[by_set[(start + turn)[turn < size]]] = True
        mask = mask.reshape(labels.shape)
        log.append((mask, experiment(mask)))
    roles = _roles(labels.ravel(), log)
    if roles is None:
        return np.zeros(labels.shape, bool)
    active, mute, _ = roles
    known = np.bincount(labels.ravel(), active) > 0  # a set that never answers, as under a weight of 0, shows nothing
    mute = (mute & known[labels.ravel()]).reshape(labels.shape)
    return mute & _are_mute(experiment, mute)


def _are_mute(experiment: Experiment, cells: np.ndarray) -> bool:
    """Whether the cells together change no other one; a single cell hardly moves a median, for instance."""
    return not cells.any() or not (experiment(cells) & ~cells).any()


def _choose(labels: np.ndarray, log: Log, rng: np.random.Generator, turn: int, active: np.ndarray) -> np.ndarray:
    """Return the cells to change: one in each class of the size of a set, and those not tried yet come first.

    Classes with cells that are known to be active are left out half of the time.
    In a class of several sets it takes enough cells for half of them; in one that never answers, ever more.
    """
    flat, tried = labels.ravel(), np.zeros(labels.size, bool)
    answers, sizes = np.zeros(labels.size, bool), []
    for mask, response in log:
        tried |= mask.ravel()
        answers |= (response & ~mask).ravel()
        sizes += [int((response & ~mask).sum())] * bool(mask.sum() == 1 and (response & ~mask).any())
    size = sorted(sizes)[len(sizes) // 2] if sizes else labels.size
    count = np.bincount(flat)
    answers = np.bincount(flat, answers) > 0
    share = 1 - 0.5 ** (1 / size)
    share = np.where(answers, share, min(0.5, share * 4**turn))
    single = answers & (count <= 1.5 * size + 1)
    likely = np.where(np.bincount(flat, active.ravel()) > 0, 0.5, 1)
    order = np.argsort(rng.random(flat.size) + tried)
    classes, first = np.unique(flat[order], return_index=True)
    # A cell that has left its class by mistake comes back when it is not changed itself.
    first = order[first[single[classes] & (count[classes] * 4 > size) & (rng.random(classes.size) < likely[classes])]]
    mask = ~single[flat] & (rng.random(flat.size) < share[flat])
    mask[first] = True
    return mask.reshape(labels.shape)


def _alike(log: Log, keys: np.ndarray) -> tuple[np.ndarray, bool] | None:
    """Return labels of cells that answer alike, and whether each cell fits one class alone; None if too many differ.

    What a cell answers to a call that changed it is not known; -1 stands for it. `keys` number the cells that have been
    changed, and have responded, in the same calls.
    """
    first = np.unique(keys, return_index=True)[1]
    if len(first) > MOST_PATTERNS:
        return None
    masks, own = (np.array([part.ravel()[first] for part in parts]) for parts in zip(*log, strict=True))
    seen = np.where(masks, -1, own)
    classes, of_pattern = np.empty((0, len(log)), int), np.empty(len(first), int)
    for p in np.argsort((seen < 0).sum(0), kind="stable"):
        row = seen[:, p]
        apart = ((classes != row) & (classes >= 0) & (row >= 0)).any(1)
        if apart.all():
            classes = np.concatenate([classes, row[None]])
            of_pattern[p] = len(classes) - 1
            continue
        # A changed cell that is not mute makes its class answer, so that class is the likeliest.
        likely = np.where(apart, -1, (classes == own[:, p])[:, row < 0].sum(1))
        of_pattern[p] = k = likely.argmax()
        classes[k] = np.where(classes[k] < 0, row, classes[k])
    fits = [(~((classes != row) & (classes >= 0) & (row >= 0)).any(1)).sum() for row in seen.T[(seen < 0).any(0)]]
    return number(of_pattern[keys]), all(fit == 1 for fit in fits)


def _roles(labels: np.ndarray, log: Log) -> tuple[np.ndarray, np.ndarray, bool] | None:
    """Return the cells known to change their classes, those known to be mute, and whether the classes are proven.

    They are if each has answered as a whole to one cell, or not at all when many of its cells were changed. None if a
    class has answered to another.
    """
    active, mute = np.zeros((2, labels.size), bool)
    calls = [(mask.ravel(), np.bincount(labels, (response & ~mask).ravel()) > 0) for mask, response in log]
    quiet, count = np.zeros(labels.max() + 1), np.bincount(labels)
    for mask, answers in calls:
        mute |= mask & ((np.bincount(labels, ~mask) > 0) & ~answers)[labels]
        quiet += ~answers & (np.bincount(labels, mask) * 3 >= count)
    for mask, answers in calls:
        left = np.bincount(labels, mask & ~mute)
        if (answers & (left == 0)).any():
            return None
        active |= mask & ~mute & (answers & (left == 1))[labels]
    proven = (np.bincount(labels, active) > 0) | (quiet > 1) | (count < 3)
    return active, mute, bool(proven.all())
