"""Sharing out: exact numbers, whole groups, every class its share, the same draw whatever the order."""

import collections
import math
from fractions import Fraction
from pathlib import Path

import pytest
from conftest import load_script
from hypothesis import example, given
from hypothesis import strategies as st

from tfod.data import split

partition = load_script("preprocessing/partition_dataset.py")


sizes = st.lists(st.integers(1, 4), min_size=2, max_size=30)
ratios = st.fractions(0, 1, max_denominator=1000).filter(lambda ratio: 0 < ratio < 1)
seeds = st.integers()


def make_groups(sizes):
    return [[Path(f"{number}-{i}.jpg") for i in range(size)] for number, size in enumerate(sizes)]


def draw_test(groups, ratio, seed):
    return split.share_out(groups, [None] * len(groups), {"test": ratio}, seed)["test"]


def count(groups):
    return sum(map(len, groups))


def assert_all_there_once(shares, groups):
    assert sorted(group for its_groups in shares.values() for group in its_groups) == sorted(groups)


@given(sizes, ratios, seeds)
def test_the_test_subset_has_the_number_that_groups_allow(sizes, ratio, seed):
    groups = make_groups(sizes)
    shares = split.share_out(groups, [None] * len(groups), {"test": ratio}, seed)
    sums = {0}
    for size in sizes:
        sums |= {total + size for total in sums}
    possible = sums - {0, sum(sizes)}
    wanted = math.ceil(ratio * sum(sizes))
    assert abs(count(shares["test"]) - wanted) == min(abs(total - wanted) for total in possible)
    assert_all_there_once(shares, groups)


@given(st.integers(3, 60), ratios, ratios, seeds)
def test_three_subsets_of_single_images_are_exact(number, test, val, seed):
    if test + val >= 1:
        test, val = test / 2, val / 2
    groups = make_groups([1] * number)
    shares = split.share_out(groups, [None] * number, {"test": test, "val": val}, seed)
    wanted_test = min(math.ceil(test * number), number - 2)
    assert len(shares["test"]) == wanted_test
    assert len(shares["val"]) == min(math.ceil(val * number), number - wanted_test - 1)
    assert_all_there_once(shares, groups)


@given(st.lists(st.integers(1, 4), min_size=3, max_size=12), ratios, ratios, seeds)
def test_no_subset_of_three_stays_empty(sizes, test, val, seed):
    groups = make_groups(sizes)
    shares = split.share_out(groups, [None] * len(groups), {"test": test / 2, "val": val / 2}, seed)
    assert all(shares.values())
    assert_all_there_once(shares, groups)


@given(st.permutations(range(12)), seeds)
def test_the_order_of_the_folder_does_not_matter(order, seed):
    groups = make_groups([1] * 12)
    chosen = draw_test(groups, Fraction(1, 3), seed)
    assert sorted(chosen) == sorted(draw_test([groups[i] for i in order], Fraction(1, 3), seed))


def test_the_split_does_not_depend_on_how_a_file_system_writes_umlauts():
    composed, decomposed = [Path("\u00e4.jpg")], [Path("a\u0308.jpg")]
    others = make_groups([1] * 9)
    for seed in range(20):
        one = draw_test([composed, *others], Fraction(1, 2), seed)
        two = draw_test([decomposed, *others], Fraction(1, 2), seed)
        assert (composed in one) == (decomposed in two)


@pytest.mark.parametrize("classes", [None, {Path(f"raccoon-{i}.jpg"): {"raccoon"} for i in range(1, 21)}])
def test_the_split_of_seed_42_stays_what_it_was(classes):
    """A change here would give everybody another test set, and metrics that can't be compared."""
    groups = [[Path(f"raccoon-{i}.jpg")] for i in range(1, 21)]
    chosen = split.share_out(groups, [None] * 20, {"test": Fraction("0.1")}, 42, classes)["test"]
    assert [group[0].name for group in chosen] == ["raccoon-5.jpg", "raccoon-17.jpg"]


@pytest.mark.parametrize(
    ("ratio", "number", "wanted"), [("0.07", 100, 7), ("0.1", 30, 3), ("0.1", 181, 19), ("0.9", 2, 1)]
)
def test_ratios_are_exact(ratio, number, wanted):
    assert len(draw_test(make_groups([1] * number), partition.read_ratio(ratio), 42)) == wanted


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8).filter(lambda numbers: sum(numbers) > 1), ratios, seeds)
@example([1, 1, 5], Fraction(1, 2), 0)
def test_each_class_gets_its_share_to_within_an_image(numbers, ratio, seed):
    groups = make_groups([1] * sum(numbers))
    names = [name for name, number in enumerate(numbers) for _ in range(number)]
    classes = {group[0]: {f"class {name}"} for group, name in zip(groups, names, strict=True)}
    shares = split.share_out(groups, [None] * len(groups), {"test": ratio}, seed, classes)
    wanted = min(math.ceil(ratio * len(groups)), len(groups) - 1)
    assert len(shares["test"]) == wanted
    found = collections.Counter(name for group in shares["test"] for name in classes[group[0]])
    for name, number in enumerate(numbers):
        assert abs(found[f"class {name}"] - Fraction(wanted * number, len(groups))) <= 1


@given(st.lists(st.integers(2, 40), min_size=1, max_size=8), ratios, seeds)
@example([2, 2, 8], Fraction(7, 10), 0)
def test_a_class_of_two_images_is_in_both_subsets_where_there_is_room(numbers, ratio, seed):
    groups = make_groups([1] * sum(numbers))
    names = [name for name, number in enumerate(numbers) for _ in range(number)]
    classes = {group[0]: {name} for group, name in zip(groups, names, strict=True)}
    shares = split.share_out(groups, [None] * len(groups), {"test": ratio}, seed, classes)
    wanted = min(math.ceil(ratio * len(groups)), len(groups) - 1)
    floors = [wanted * number // len(groups) for number in numbers]
    found = collections.Counter(names[groups.index(group)] for group in shares["test"])
    absent = sum(not found[name] for name in range(len(numbers)))
    assert absent == max(0, floors.count(0) - (wanted - sum(floors)))
    if wanted <= sum(min(floor + 1, number - 1) for floor, number in zip(floors, numbers, strict=True)):
        assert all(found[name] < number for name, number in enumerate(numbers))


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sets(st.sampled_from("abcde"))), min_size=2, max_size=25), ratios, seeds
)
def test_strata_cost_no_exactness_and_break_no_group(drawn, ratio, seed):
    groups = make_groups([size for size, _ in drawn])
    classes = {image: names for group, (_, names) in zip(groups, drawn, strict=True) for image in group}
    shares = split.share_out(groups, [None] * len(groups), {"test": ratio}, seed, classes)
    assert_all_there_once(shares, groups)
    assert count(shares["test"]) == count(draw_test(groups, ratio, seed))


def test_a_group_has_the_classes_of_all_its_images_the_rarest_first():
    groups = make_groups([2, 1, 1, 1])
    names = [{"dog"}, {"cat", "dog"}, {"dog"}, {"cat"}, set()]
    images = [image for group in groups for image in group]
    found = split.find_class_names(groups, dict(zip(images, names, strict=True)))
    assert list(found.values()) == [("cat", "dog"), ("dog",), ("cat",), (split.NO_CLASS,)]


def test_a_class_that_is_never_the_rarest_gets_its_share_through_the_others():
    """Person is on 12 of 40 photos, each time with a rarer class."""
    groups = make_groups([1] * 40)
    names = [{"person", f"rare {i // 2}"} for i in range(12)] + [{"cat"}] * 28
    classes = {group[0]: its_names for group, its_names in zip(groups, names, strict=True)}
    for seed in range(30):
        shares = split.share_out(groups, [None] * 40, {"test": Fraction(1, 10)}, seed, classes)
        assert sum("person" in classes[group[0]] for group in shares["test"]) == 2
        assert len({name for group in shares["test"] for name in classes[group[0]]}) == 4  # two rare ones


def test_classes_that_come_with_rarer_ones_only_are_in_both_subsets_whatever_the_draw():
    """Hat and ball are on two photos each, and both on a third one; a person always with a cat or a dog."""
    groups = make_groups([1] * 20)
    names = [{"person", "cat"}] * 2 + [{"cat", "hat", "ball"}, {"cat", "hat"}, {"cat", "ball"}] + [{"cat"}] * 3
    names += [{"person", "dog"}] * 7 + [{"dog"}] * 5
    classes = {group[0]: its_names for group, its_names in zip(groups, names, strict=True)}
    for seed in range(20):
        shares = split.share_out(groups, [None] * 20, {"test": Fraction(1, 4)}, seed, classes)
        for its_groups in shares.values():
            assert set().union(*(classes[group[0]] for group in its_groups)) == {"person", "cat", "dog", "hat", "ball"}


def test_a_class_of_one_photo_does_not_give_a_whole_scene_away():
    """The owl is due one of 20 test photos, and stands in a scene of nine as well as alone."""
    groups = make_groups([9, 1, 1, *[1] * 89])
    classes = {image: {"cat"} for group in groups for image in group}
    classes |= dict.fromkeys([*groups[0], *groups[1], *groups[2]], {"owl"})
    for seed in range(10):
        shares = split.share_out(groups, [None] * len(groups), {"test": Fraction(1, 20)}, seed, classes)
        assert groups[0] in shares["train"] and count(shares["test"]) == 5


@given(sizes, st.data())
def test_groups_with_a_subset_stay_in_it_and_the_others_fill_up(sizes, data):
    groups = make_groups(sizes)
    former = data.draw(st.lists(st.sampled_from(["train", "test", None]), min_size=len(groups), max_size=len(groups)))
    ratio, seed = data.draw(ratios), data.draw(seeds)
    shares = split.share_out(groups, former, {"test": ratio}, seed)
    assert_all_there_once(shares, groups)
    for group, subset in zip(groups, former, strict=True):
        assert subset is None or group in shares[subset]
    fixed = count(group for group, subset in zip(groups, former, strict=True) if subset == "test")
    sums = {fixed}
    for group, subset in zip(groups, former, strict=True):
        if subset is None:
            sums |= {total + len(group) for total in sums}
    if "train" not in former:
        sums -= {sum(sizes)}
    if "test" not in former:
        sums -= {0}
    if sums:
        wanted = math.ceil(ratio * sum(sizes))
        assert abs(count(shares["test"]) - wanted) == min(abs(total - wanted) for total in sums)


@given(st.lists(st.lists(st.integers(0, 19), min_size=2, max_size=4), max_size=10))
def test_what_belongs_together_is_one_group(together):
    images = [Path(f"{number:02d}.jpg") for number in range(20)]
    groups = split.group_images(images, [[images[i] for i in numbers] for numbers in together])
    assert sorted(image for group in groups for image in group) == images
    place = {image: number for number, group in enumerate(groups) for image in group}
    for numbers in together:
        assert len({place[images[i]] for i in numbers}) == 1
    links = sum(len(set(numbers)) - 1 for numbers in together)
    assert len(groups) >= 20 - links
