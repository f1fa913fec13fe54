"""How images are shared out among the sides of a split: related ones stay together, every class gets its share.

A group is a list of images that must stay on one side. A stratum holds the groups whose rarest class is the same; its
share of a side is that of all images, rounded so that the side's number is exact (largest remainders).
"""

import collections
import hashlib
import math
import unicodedata

REST = "train"  # the side of all images that no other side takes
NO_CLASS = (0, "")  # the stratum of images without boxes


def group_images(images, together):
    """Lists of images, in the order of `images`: those that any of the lists `together` names stay in one."""
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


def share_out(groups, former, ratios, seed, classes=None):
    """A dict side -> list of groups; sides are `REST` and those of `ratios`.

    `former`: list of each group's side, or None for those to share out; nothing else is moved. `ratios`: dict side ->
    Fraction; a side has as many of all images, rounded up, or as near as whole groups come. `classes`: dict image ->
    set of class names; without it there is one stratum only. The same groups and seed give the same sides.
    """
    number = sum(map(len, groups))
    strata = find_strata(groups, classes or {})
    shares = {side: [] for side in (REST, *ratios)}
    free = []
    for group, side in zip(groups, former, strict=True):
        (free if side is None else shares[side]).append(group)
    free.sort(key=lambda group: _draw(group, seed))
    waiting = list(shares)
    for side, ratio in ratios.items():
        waiting.remove(side)
        needy = sum(not shares[other] for other in waiting)
        wanted = math.ceil(ratio * number)
        chosen = _choose(free, shares[side], shares[REST], wanted, needy, strata, number)
        chosen = spread_classes(chosen, free, shares[side], shares[REST], strata, classes or {})
        taken = {group[0] for group in chosen}
        free = [group for group in free if group[0] not in taken]
        shares[side].extend(chosen)
    shares[REST].extend(free)
    return shares


def _draw(group, seed):
    """A group's place in the draw. It depends on its name and the seed only: adding images changes no other's."""
    name = unicodedata.normalize("NFC", group[0].name)  # macOS and Linux may write the same name in two ways
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def find_strata(groups, classes):
    """A dict first image of a group -> (images of the class, class): the group's rarest class, or `NO_CLASS`."""
    counts = collections.Counter(name for group in groups for image in group for name in classes.get(image, ()))
    strata = {}
    for group in groups:
        names = {name for image in group for name in classes.get(image, ())}
        strata[group[0]] = min(((counts[name], name) for name in names), default=NO_CLASS)
    return strata


def _choose(free, here, rest, wanted, needy, strata, number):
    """The groups of `free` for a side that has the groups `here` and wants `wanted` of all `number` images.

    `rest` are the groups of `REST`; `needy` is the number of sides that have nothing yet and choose later.
    """
    members = collections.defaultdict(list)
    for group in free:
        members[strata[group[0]]].append(group)
    # the largest comes last: it makes up for what the whole groups of the others leave over
    order = sorted(members, key=lambda stratum: (sum(map(len, members[stratum])), stratum))
    seats = max(wanted - sum(map(len, here)), 0)
    quotas = _share_seats(order, members, here, rest, seats, wanted, strata, number)

    least = 0 if here else 1
    most = sum(map(len, free)) - sum(sorted(map(len, free))[:needy])
    chosen = _take_quotas([(quotas[stratum], members[stratum]) for stratum in order], seats, least, most)
    if len(free) - len(chosen) < needy <= len(free) - least:  # the right number, but of too few groups: keep one out
        kept = min(reversed(free), key=len)
        return _choose([g for g in free if g is not kept], here, rest, wanted, needy - 1, strata, number)
    return chosen


def _share_seats(order, members, here, rest, seats, wanted, strata, number):
    """A dict stratum -> its number of `seats`, in images.

    Each gets its share of `wanted` rounded down, less what it has `here`. The seats left over go to strata that have
    none yet, then to the largest remainders. One image of each is kept for `REST` if that has none of it, unless
    another stratum would then get more than an image above its share.
    """
    totals, having = collections.Counter(), collections.Counter()
    for groups, counter in ((here, having), (rest, totals), (here, totals), (sum(members.values(), []), totals)):
        for group in groups:
            counter[strata[group[0]]] += len(group)
    in_rest = {strata[group[0]] for group in rest}
    quotas = dict.fromkeys(order, 0)
    room = {stratum: sum(map(len, members[stratum])) for stratum in order}

    def find_urgency(stratum):
        has = having[stratum] + quotas[stratum]
        need = wanted * totals[stratum] - number * has  # in 1 / number of an image: whole numbers, no rounding
        return need >= number, not has and stratum != NO_CLASS, need

    def find_open(fair, kept):
        """Where a seat can go: `fair` to at most an image above the share, `kept` leaving one image for `REST`."""
        return [
            stratum
            for stratum in order
            if quotas[stratum] < room[stratum] - (kept and stratum not in in_rest)
            and (not fair or find_urgency(stratum)[-1] >= 0)
        ]

    for _ in range(min(seats, sum(room.values()))):
        open_ones = find_open(True, True) or find_open(True, False) or find_open(False, True) or find_open(False, False)
        quotas[max(open_ones, key=find_urgency)] += 1
    return quotas


def _take_quotas(strata, seats, least, most):
    """Groups of `strata`, a list of (quota, groups): together `seats` images, or as near as whole groups come.

    Never fewer than `least` images or more than `most`, unless nothing lies between. Quotas are met as nearly as that
    sum allows, and within a stratum the first groups are taken with which it can be reached.
    """
    reach = [1]  # reach[-1 - i]: the numbers of images that strata[i:] can add up to, as the set bits of an integer
    for _, groups in reversed(strata):
        reach.append(_add_sums(reach[-1], groups)[0])
    sums = [total for total in range(least, most + 1) if reach[-1] >> total & 1]
    if not sums:
        return []
    left = min(sums, key=lambda total: (abs(total - seats), total))
    chosen = []
    for i, (quota, groups) in enumerate(strata):
        others = reach[-2 - i]
        own = _add_sums(1, groups)
        fits = [n for n in range(min(left, sum(map(len, groups))) + 1) if own[0] >> n & 1 and others >> (left - n) & 1]
        number = min(fits, key=lambda n: (abs(n - quota), n))
        left -= number
        for group, after in zip(groups, own[1:], strict=True):
            if number >= len(group) and after >> (number - len(group)) & 1:
                chosen.append(group)
                number -= len(group)
    return chosen


def _add_sums(sums, groups):
    """For each i, the sums (as set bits) of `sums` and any of groups[i:]; the last one is `sums` itself."""
    found = [sums]
    for group in reversed(groups):
        found.append(found[-1] | found[-1] << len(group))
    return found[::-1]


def spread_classes(chosen, free, here, rest, strata, classes):
    """`chosen` of `free`, with swaps that bring a class onto both sides where the draw left it on one.

    Only groups of the same stratum and size change places, and no class leaves a side by it.
    """
    names = {group[0]: {n for image in group for n in classes.get(image, ())} for group in [*free, *here, *rest]}
    taken = {group[0] for group in chosen}
    sides = [list(chosen), [group for group in free if group[0] not in taken]]
    counts = [
        collections.Counter(name for group in groups for name in names[group[0]])
        for groups in (sides[0] + here, sides[1] + rest)
    ]

    def can_leave(group, other, side):
        return all(counts[side][name] > 1 for name in names[group[0]] - names[other[0]])

    def find_swap(name, side):
        """(a group to come, one to leave) that give `side` the class, or None."""
        for comer in sides[1 - side]:
            if name in names[comer[0]]:
                for leaver in sides[side]:
                    alike = len(leaver) == len(comer) and strata[leaver[0]] == strata[comer[0]]
                    if alike and can_leave(leaver, comer, side) and can_leave(comer, leaver, 1 - side):
                        return comer, leaver
        return None

    for name in sorted(set(counts[0]) | set(counts[1])):
        for side in (0, 1):
            swap = find_swap(name, side) if not counts[side][name] else None
            if swap:
                for groups, comes, leaves, counter in (
                    (sides[side], *swap, counts[side]),
                    (sides[1 - side], *swap[::-1], counts[1 - side]),
                ):
                    groups[groups.index(leaves)] = comes
                    counter.update(names[comes[0]])
                    counter.subtract(names[leaves[0]])
    return sides[0]
