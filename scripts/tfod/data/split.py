"""How images are shared out among the subsets of a split: related ones stay together, every class gets its share.

This is iterative stratification over groups, after K. Sechidis, G. Tsoumakas and I. Vlahavas, "On the Stratification of
Multi-Label Data" (ECML PKDD 2011): a group counts for its rarest class, and the next group that a subset takes is one
of the class that it needs most. A group is a list of images that must stay in one subset.
"""

import collections
import hashlib
import math
import unicodedata
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from re import Pattern

from tfod.data.voc import read_annotation
from tfod.utils.console import InputError, join_few, say

SUBSETS = ("train", "test", "val")
REST = "train"  # the subset of all images that no other one takes
NO_CLASS = ""  # what a group without boxes counts for

Group = list[Path]


def find_together(
    images: list[Path], sums: dict[Path, str], annotations: dict[Path, list[Path]], pattern: Pattern | None
) -> list[Group]:
    """Lists of images that must stay in one subset: the same bytes, stem, XML file, or scene in the file name.

    `sums`: the sha256 of each image; `annotations`: the images of each XML file; `pattern`: what finds the scene, its
    first (group), if it has one. Raises InputError if that finds no scene in any name.
    """
    alike = collections.defaultdict(list)
    lone = []
    for image in images:
        alike["bytes", sums[image]].append(image)
        alike["stem", image.stem].append(image)
        match = pattern and pattern.search(image.name)
        if scene := match and match[1 if pattern.groups else 0]:
            alike["scene", scene].append(image)
        elif pattern:
            lone.append(image)
    if lone and len(lone) == len(images):
        raise InputError(f"{lone[0]}: --group {pattern.pattern} finds no scene in this or any other name; correct it")
    if lone:
        say(f"--group finds no scene in {len(lone)} of {len(images)} names, first {lone[0].name}; each is its own")
    return [*alike.values(), *annotations.values()]


def group_images(images: list[Path], together: Iterable[list[Path]]) -> list[Group]:
    """The images in groups, in the order of `images`: those that any of the lists `together` names stay in one."""
    leader = {image: image for image in images}

    def find_leader(image):
        while leader[image] != image:
            leader[image] = leader[leader[image]]
            image = leader[image]
        return image

    for alike in together:
        for image in alike[1:]:
            first, second = sorted((find_leader(alike[0]), find_leader(image)))
            leader[second] = first
    groups = collections.defaultdict(list)
    for image in images:
        groups[find_leader(image)].append(image)
    return list(groups.values())


def share_out(
    groups: list[Group],
    former: list[str | None],
    ratios: dict[str, Fraction],
    seed: int,
    classes: dict[Path, set[str]] | None = None,
) -> dict[str, list[Group]]:
    """A dict subset -> its groups; the subsets are `REST` and those of `ratios`.

    `former`: each group's subset, in which it stays, or None for those to share out. A subset of `ratios` gets that
    share of all images, rounded up, or as near as whole groups come. `classes`: the class names of each image; without
    it, or where an image is not in it, there are none. The same groups and seed give the same subsets.
    """
    number = sum(map(len, groups))
    names = find_class_names(groups, classes or {})
    shares = {subset: [] for subset in (REST, *ratios)}
    free = []
    for group, subset in zip(groups, former, strict=True):
        (free if subset is None else shares[subset]).append(group)
    free.sort(key=lambda group: _draw(group, seed))
    waiting = list(shares)
    for subset, ratio in ratios.items():
        waiting.remove(subset)
        needy = sum(not shares[other] for other in waiting)
        chosen = _choose(free, shares[subset], shares[REST], math.ceil(ratio * number), needy, names)
        shares[subset] += chosen
        taken = {group[0] for group in chosen}
        free = [group for group in free if group[0] not in taken]
    shares[REST] += free
    return shares


def _draw(group, seed):
    """A group's place in the draw. It depends on its name and the seed only: adding images changes no other's."""
    name = unicodedata.normalize("NFC", group[0].name)  # macOS and Linux may write the same name in two ways
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def find_class_names(groups: list[Group], classes: dict[Path, set[str]]) -> dict[Path, tuple[str, ...]]:
    """For each group, by its first image: its class names, that of the fewest images first, or (NO_CLASS,)."""
    counts = collections.Counter(name for group in groups for image in group for name in classes.get(image, ()))
    names = {group[0]: {name for image in group for name in classes.get(image, ())} for group in groups}
    return {first: tuple(sorted(its, key=lambda n: (counts[n], n))) or (NO_CLASS,) for first, its in names.items()}


def _choose(free, here, rest, wanted, needy, names):
    """The groups of `free`, in the order of the draw, that bring a subset with the groups `here` to `wanted` images.

    `rest`: the groups of `REST`; `needy`: how many subsets that choose later have nothing yet; `names`: see
    `find_class_names`. A class gets its share of `wanted`, rounded up where the subset has none of it or the most is
    missing. One group of each class stays for `REST`, unless another class would then get more than its share.
    """
    pool = [*here, *rest, *free]
    number, sizes = sum(map(len, pool)), collections.Counter(map(len, free))
    images, having = (_count_by_rarest(groups, names) for groups in (pool, here))
    seen = {name for group in here for name in names[group[0]]}
    elsewhere = collections.Counter(name for group in (*rest, *free) for name in names[group[0]])
    queues = collections.defaultdict(lambda: collections.defaultdict(collections.deque))
    for place, group in enumerate(free):  # groups of the same classes and size differ in their place in the draw only
        queues[names[group[0]][0]][names[group[0]], len(group)].append((place, group))
    order = sorted(queues, key=lambda name: (images[name] - having[name], images[name], name))

    def rank_class(name):
        missing = wanted * images[name] - number * having[name]  # in 1 / number of an image: no rounding
        none = name not in seen and name != NO_CLASS
        return missing >= 0, elsewhere[name] > 1, missing >= number, none, missing

    def rank_alike(key):
        """Of one class: what takes no class from the others whole, then what brings one that may not come by itself,
        then what does not overfill the class; last, the place in the draw."""
        its_names, size = key
        rare = scarce.intersection(its_names)
        lost = sum(elsewhere[name] == 1 for name in rare)
        gained = sum(name not in seen and not (name in queues and elsewhere[name] > 1) for name in rare)
        missing = wanted * images[its_names[0]] - number * having[its_names[0]]
        return -lost, gained, min(missing - number * (size - 1), 0), -queues[its_names[0]][key][0][0]

    chosen, scarce = [], set()
    left = _find_nearest(sizes, wanted - sum(map(len, here)), 0 if here else 1, needy)
    while left and len(free) - len(chosen) > needy:
        scarce = {name for name in elsewhere if name not in seen or elsewhere[name] == 1}
        name, key = next(
            (name, key)
            for name in sorted(order, key=rank_class, reverse=True)
            for key in sorted(queues[name], key=rank_alike, reverse=True)
            if _can_fill(sizes - collections.Counter([key[1]]), left - key[1])
        )
        chosen.append(queues[name][key].popleft()[1])
        if not queues[name][key]:
            del queues[name][key]
        left, sizes[key[1]], having[name] = left - key[1], sizes[key[1]] - 1, having[name] + key[1]
        seen.update(key[0])
        elsewhere.subtract(key[0])
    return chosen


def _count_by_rarest(groups, names):
    """Images of each class, where a group counts for its rarest one."""
    return collections.Counter(names[group[0]][0] for group in groups for _ in group)


def _find_nearest(sizes, wanted, least, needy):
    """The number of images nearest to `wanted` that groups of these `sizes` (a Counter) add up to; 0 if there is none.

    At least `least`, and so few that `needy` groups can be left.
    """
    most = sizes.total() and sum(sizes.elements()) - sum(sorted(sizes.elements())[:needy])
    sums = _add_up(sizes)
    return min((n for n in range(least, most + 1) if sums >> n & 1), key=lambda n: (abs(n - wanted), n), default=0)


def _can_fill(sizes, number):
    """Whether some of the groups of these `sizes`, a Counter, have `number` images together."""
    if sizes[1] >= max(sizes, default=1) - 1:  # single images fill whatever gaps the others leave
        return 0 <= number <= sum(size * count for size, count in sizes.items())
    return number >= 0 and _add_up(sizes) >> number & 1 == 1


def _add_up(sizes):
    """All numbers of images that groups of these `sizes`, a Counter, add up to, as the set bits of an integer."""
    sums = 1
    for size, count in sizes.items():
        several = 1
        while count > 0:  # 1, 2, 4 ... groups at a time, and what is left
            several = min(several, count)
            sums |= sums << size * several
            count, several = count - several, several * 2
    return sums


def read_classes(annotations: dict[Path, list[Path]], repair: bool = False) -> dict[Path, set[str]]:
    """The class names of each image, from a dict XML path -> its images.

    What can't be read has none: `make check` names it.
    """
    classes, broken = collections.defaultdict(set), 0
    for xml, its_images in annotations.items():
        try:
            names = {box.name for box in read_annotation(xml, repair).boxes}
        except InputError:
            names = set()
            broken += 1
        for image in its_images:
            classes[image] |= names
    if broken:
        what = "XML files have faults; their images are shared out as if without boxes (see make check)"
        say(f"warning: {broken} {what}")
    return classes


def list_subset_files(shares: dict[str, list[Group]], annotations: dict[Path, list[Path]]) -> dict[str, list[Path]]:
    """The image and XML paths of each subset, sorted. `annotations`: the images of each XML file."""
    files = {}
    for subset in sorted(shares, key=SUBSETS.index):
        images = {image for group in shares[subset] for image in group}
        files[subset] = sorted([*images, *(xml for xml, its_images in annotations.items() if its_images[0] in images)])
    return files


def check_shares(shares: dict[str, list[Group]], ratios: dict[str, Fraction], has_former: bool, folder: Path) -> None:
    """Raises InputError if a subset is empty; says where one has another number of images than its ratio asks for.

    `has_former`: whether there was a split before, to which this one keeps.
    """
    number = sum(len(group) for groups in shares.values() for group in groups)
    if missing := [subset for subset in shares if not shares[subset]]:
        if has_former:
            what = f"no image is left for {', '.join(missing)}; add images, or draw a new split with --fresh"
        else:
            count = {2: "two", 3: "three"}[len(shares)]
            alike = "" if number < len(shares) else " that do not belong together"
            what = f"{count} images{alike} are needed at least for {count} subsets; add images"
        raise InputError(f"{folder}: {what}")
    why = "groups stay whole, and each subset needs one"
    if has_former:
        why = "no photo changes subsets (--fresh draws a new split)"
    for subset, ratio in ratios.items():
        got, wanted = sum(map(len, shares[subset])), math.ceil(ratio * number)
        if got != wanted:
            say(f"{subset}: {got} images instead of {wanted}, since {why}")


def say_missing_classes(files: dict[str, list[Path]], classes: dict[Path, set[str]]) -> None:
    """Says which classes train or test lacks: they can't be learned, or not be measured."""
    counts = {
        subset: collections.Counter(name for path in paths for name in classes.get(path, ()))
        for subset, paths in files.items()
    }
    lacking = []
    for name in sorted(set().union(*counts.values())):
        number = sum(counter[name] for counter in counts.values())
        absent = [subset for subset in ("train", "test") if not counts[subset][name]]
        if absent:
            lacking.append(f"{name} ({number} {'image' if number == 1 else 'images'}) is not in {' or '.join(absent)}")
    if lacking:
        say(f"warning: {join_few(lacking, 5, '; ')}")
