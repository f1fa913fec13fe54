"""Label maps: read as the OD API reads them, written as the tutorial does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfod.data.label_map import find_near_name, find_unknown_names, read_label_map, read_names, write_label_map
from tfod.utils.console import InputError, find_hidden

names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(lambda name: not find_hidden(name))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("label_map") / "label_map.pbtxt"


def expect_faults(path, text, *faults):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_label_map(path)
    assert list(caught.value.faults) == [f"{path}: {fault}" for fault in faults]


def test_the_tutorials_syntax(path):
    write_label_map(path, {"cat": 1, "dog": 2})
    assert path.read_text() == "item {\n    id: 1\n    name: 'cat'\n}\n\nitem {\n    id: 2\n    name: 'dog'\n}\n"


@given(st.dictionaries(names, st.integers(1, 10_000)).filter(bool))
def test_what_is_written_is_read_in_its_order(path, names_to_ids):
    names_to_ids = {name: number for number, name in {number: name for name, number in names_to_ids.items()}.items()}
    write_label_map(path, names_to_ids)
    assert list(read_label_map(path).items()) == list(names_to_ids.items())


def test_letters_of_every_script_stay_readable(path):
    write_label_map(path, {"浣熊's \\": 1})
    assert "name: '浣熊\\'s \\\\'" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "item {\n  id: 2\n  name: 'cat'\n}\nitem {\n  id: 1\n  name: 'dog'\n}",
        'item { name: "cat" id: 2 } item { name: "dog", id: 1 }',
        "item: { name: 'c' 'at'; id: 0x2 }\nitem < name: 'd\\157g' id: 1 >",
        "# item { id: 9 }\nitem { name: 'cat' id: 2 } # item\nitem{id:1 name:'dog'}",
        "item [ { name: 'cat' id: 2 }, { name: 'dog' id: 1 } ]",
        "item { name: '/m/01yrx' display_name: 'cat' id: 2 } item { display_name: 'dog' id: 1 }",
        "\ufeffitem { name: 'cat' id: 2 }\r\nitem { name: 'dog' id: 1 }\r\n",
    ],
)
def test_every_way_to_write_it(path, text):
    path.write_bytes(text.encode())
    assert list(read_label_map(path).items()) == [("cat", 2), ("dog", 1)]


def test_every_fault_is_told_with_its_line(path):
    expect_faults(
        path,
        """item { id: 1 name: 'cat' }
        # item { name: "item" }
        item { id: 1 name: 'item' }
        item {
            id: 2 name: 'cat'
        }
        item { id: 0 name: 'bakground' }
        item { id: 3 }
        item { name: 'no id' }""",
        "line 3: the id 1 is there twice; give every class its own",
        "line 4: the name 'cat' is there twice; remove one of the items",
        "line 7: 'bakground' has the id 0; ids begin at 1, since 0 is the background",
        "line 8: the item has no name; give it one",
        "line 9: 'no id' has the id 0; ids begin at 1, since 0 is the background",
    )


@pytest.mark.attack
@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (
            "2000000000",
            "line 2: 'dog' has the id 2000000000, and the model gets an output for each id up to it; number",
        ),
        (
            "10003",
            "line 2: 'dog' has the id 10003, and the model gets an output for each id up to it; number the 2 cla",
        ),
        ("-1", "line 2: 'dog' has the id -1; ids begin at 1, since 0 is the background"),
        ("0", "line 2: 'dog' has the id 0; ids begin at 1, since 0 is the background"),
        ("1.5", "Couldn't parse integer: 1.5; an item looks like"),
        ("2147483648", "Value out of range: 2147483648; an item looks like"),
    ],
)
def test_an_id_that_no_model_can_have(path, number, fault):
    path.write_text(f"item {{ id: 1 name: 'cat' }}\nitem {{ id: {number} name: 'dog' }}")
    with pytest.raises(InputError) as caught:
        read_label_map(path)
    (said,) = caught.value.faults
    assert said.startswith(f"{path}: line 2: ") and fault in said


def test_ids_with_gaps_are_valid(path):
    path.write_text("item { id: 90 name: 'toothbrush' } item { id: 10002 name: 'dog' }")
    assert read_label_map(path) == {"toothbrush": 90, "dog": 10002}


@pytest.mark.attack
@pytest.mark.parametrize("name", [r"cat\ndog", r"\033[31mcat", "tac\u202e", "\u200fcat", "ca\u200bt", r"\302\205"])
def test_a_name_that_cannot_be_seen_whole_is_refused(path, name):
    path.write_text(f"item {{ id: 1 name: '{name}' }}", encoding="utf-8")
    with pytest.raises(InputError, match="line 1: the name '.*' holds a character that can't be seen; type it again"):
        read_label_map(path)


def test_names_of_every_script_are_valid(path):
    names = ["قطة", "خانه‌ها", "חתול", "猫", "红 灯", "क्‍ष", "👨‍👩‍👧", "❤️", "été", "e\u0301te\u0301", "a\u00a0b"]
    write_label_map(path, {name: number for number, name in enumerate(names, 1)})
    assert list(read_label_map(path)) == names


def test_a_list_of_items_has_no_lines_to_tell(path):
    text = "item [ { name: 'cat' id: 1 }, { name: 'cat' id: 2 } ]"
    expect_faults(path, text, "the name 'cat' is there twice; remove one of the items")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("item {\n  id: 1\n  nme: 'cat'\n}", 3, 'has no field named "nme"'),
        ("item {\n  id: one\n}", 2, "Couldn't parse integer: one"),
        ("item {\n  id: 1\n  name: 'cat\n}", 3, "String missing ending quote"),
        ("item {\n  id: 99999999999\n}", 2, "Value out of range: 99999999999"),
        ("cat\ndog\n", 1, 'has no field named "cat"'),
    ],
)
def test_what_is_no_label_map_is_told_with_its_line(path, text, line, what):
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_label_map(path)
    assert str(caught.value).startswith(f"{path}: line {line}: ")
    assert what in str(caught.value)
    assert str(caught.value).endswith("; an item looks like: item { id: 1 name: 'cat' }")


def test_an_unfinished_item_is_told(path):
    path.write_text("item {\n  id: 1\n")
    with pytest.raises(InputError, match=r"an item looks like"):
        read_label_map(path)


def test_empty_missing_and_wrongly_encoded_files_are_named(path, tmp_path):
    expect_faults(path, "", "has no item; make it again with generate_label_map.py --force")
    path.write_bytes("item { id: 1 name: '浣熊' }".encode("gbk"))
    with pytest.raises(InputError, match="is not in UTF-8; save it in that encoding"):
        read_label_map(path)
    with path.open("wb") as file:
        file.truncate(10_000_001)
    with pytest.raises(InputError, match="has 10 MB, more than the 10 MB that such a file can need; replace it with"):
        read_label_map(path)
    with pytest.raises(InputError, match=r"none.pbtxt: there is no such label map; make one with"):
        read_label_map(tmp_path / "none.pbtxt")


def test_unknown_names_get_the_nearest_name_as_a_hint():
    places = {"raccon": ["a.xml", "b.xml"], "CAT": ["c.xml"], "bus": ["d.xml"], "cat": ["a.xml"]}
    assert find_unknown_names("l.pbtxt", {"raccoon": 1, "cat": 2, "dog": 3}, places) == [
        "l.pbtxt: lacks the class 'CAT' of 1 box, first in c.xml; did you mean 'cat'? correct the XML, or add the"
        " class to the label map",
        "l.pbtxt: lacks the class 'bus' of 1 box, first in d.xml; correct the XML, or add the class to the label map",
        "l.pbtxt: lacks the class 'raccon' of 2 boxes, first in a.xml; did you mean 'raccoon'? correct the XML, or add"
        " the class to the label map",
    ]


@pytest.mark.parametrize(
    ("name", "near", "sure"),
    [
        ("raccon", "raccoon", True),
        ("Raccoon", "raccoon", True),
        ("rac coon", "raccoon", True),
        ("raccooon", "raccoon", True),
        ("racoonn", "raccoon", False),  # two letters away
        ("cta", "cat", False),
        ("bat", "cat", False),  # of so few letters it may well be another class
        ("plate1", "plate", True),
        ("plane2", None, False),
        ("bird", None, False),
    ],
)
def test_near_names(name, near, sure):
    found = find_near_name(name, ["cat", "raccoon", "plate"])
    if near or sure:
        assert found == (near, sure)
    assert found[1] == sure


def test_two_near_names_are_not_sure():
    assert not find_near_name("fish2", ["fish1", "fish3"])[1]
    assert not find_near_name("CAT", ["cat", "Cat"])[1]


@pytest.mark.parametrize(
    ("item", "name", "other", "shown"),
    [
        ("name: 'cat' display_name: 'Hauskatze'", "cat", "Hauskatze", "Hauskatze"),
        ("name: '/m/01yrx' display_name: 'cat'", "cat", "/m/01yrx", "cat"),
        ("display_name: 'cat'", "cat", None, "cat"),
        ("name: 'cat' display_name: 'cat'", "cat", None, "cat"),
    ],
)
def test_an_item_is_found_by_each_of_its_names(path, item, name, other, shown):
    path.write_text(f"item {{ id: 0 name: 'background' }} item {{ id: 7 {item} }}")
    classes = read_label_map(path)
    assert list(classes.items()) == [(name, 7)]
    assert classes[name] == 7 and "background" not in classes
    if other:
        assert other in classes and classes[other] == 7
    assert read_names(path) == {7: shown}
    assert find_unknown_names(path, classes, dict.fromkeys(filter(None, (name, other)), [path])) == []


def test_upstream_and_this_project_agree_on_who_has_which_id(path):
    import tfod.compat  # noqa: F401

    from object_detection.utils.label_map_util import get_label_map_dict

    path.write_text(
        """item { id: 0 name: 'background' } item { id: 3 name: 'cat' display_name: 'Katze' }
        item { id: 9 name: 'dog' keypoints { id: 1 label: 'nose' } }
        item { id: 4 name: '/m/0199g' display_name: 'bike' }"""
    )
    theirs = get_label_map_dict(str(path))
    assert theirs.pop("background") == 0
    ours = read_label_map(path)
    assert {name: ours[name] for name in theirs} == theirs
    assert ours["Katze"] == 3 and ours["bike"] == 4


def test_a_label_map_of_nothing_but_the_background_is_refused(path):
    expect_faults(
        path,
        "item { id: 0 display_name: 'background' }",
        "has no item but the background; make it again with generate_label_map.py --force",
    )
