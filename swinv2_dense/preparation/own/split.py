"""Split off validation samples: stratified by class, seeded, and without splitting groups.

The algorithm is iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, On the
Stratification of Multi-Label Data), applied to groups of samples instead of samples.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence


def split_off(groups: Sequence[Counter], sizes: Sequence[int], share: float, seed: int) -> set[int]:
    """Indices of the groups for validation: at least one, and at least one is left.

    The rarest class is distributed first: each group that has it goes to the part that still lacks
    most of it. If validation is then too small, it gets more groups. Training keeps a group of each
    class, unless there is no other for validation.

    Args:
        groups: Number of objects per class, for each group.
        sizes: Number of samples of each group.
        share: Of the samples and of the objects of each class, for validation.
        seed: Of the order in which equal groups are taken.
    """
    order = list(range(len(groups)))
    random.Random(seed).shuffle(order)  # noqa: S311  no secret
    totals = sum(groups, Counter())
    shares = (1 - share, share)  # of the parts: training, validation
    wanted = [{name: count * part for name, count in totals.items()} for part in shares]
    room = [sum(sizes) * part for part in shares]
    chosen: tuple[set[int], set[int]] = (set(), set())
    for_training = Counter(name for labels in groups for name in labels)  # groups, placed or not

    def place(index: int, part: int) -> None:
        if part and any(for_training[name] == 1 for name in groups[index]):
            part = 0  # the last group that training has of a class
        chosen[part].add(index)
        room[part] -= sizes[index]
        for name, count in groups[index].items():
            wanted[part][name] -= count
            for_training[name] -= part

    left = set(order)
    while remaining := Counter(name for index in left for name in groups[index]):
        rarest = min(remaining, key=lambda name: (remaining[name], totals[name], str(name)))
        having = [index for index in order if index in left and groups[index][rarest]]
        having.sort(key=lambda index: -groups[index][rarest])
        for index in having:
            lacks = [(wanted[part][rarest], room[part]) for part in (0, 1)]
            place(index, int(lacks[1] > lacks[0]))
            left.discard(index)
    for index in [index for index in order if index in left]:  # without objects
        place(index, int(room[1] > room[0]))
    training, validation = chosen
    for index in [index for index in order if index in training]:
        # With few groups per class, too few were chosen.
        if sizes[index] <= 2 * room[1]:
            training.discard(index)
            place(index, 1)
    if not validation:
        validation.add(min(training, key=lambda index: (sizes[index], order.index(index))))
    elif not training:
        validation.discard(max(validation, key=lambda index: sizes[index]))
    return validation
