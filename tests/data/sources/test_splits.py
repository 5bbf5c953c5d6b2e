"""The published lists, and users' own copies of them."""

import pytest

from endodav_jax.data.sources.scared_layout import canonical_name
from endodav_jax.data.splits import published_counts, published_list, read_sequence_list
from endodav_jax.errors import UserError


def test_the_published_counts_add_up():
    assert sum(published_counts("scared_video").values()) == 28857
    assert len(published_counts("scared_video")) == 35
    assert sum(published_counts("c3vd").values()) == 10015
    assert len(published_counts("c3vd")) == 22


def test_train_validation_and_test_are_all_of_scared_and_do_not_overlap():
    lists = [published_list("scared_video", name) for name in ("train_files", "val_files", "test_files")]
    together = [name for names in lists for name in names]
    assert len(together) == len(set(together)) == 35
    assert set(together) == set(published_counts("scared_video"))
    origin = published_list("scared_video", "train_files_origin")
    assert set(origin) == set(lists[0])
    assert origin == sorted(origin)
    assert [f"train/{name}" for name in published_list("scared_video", "eval_files")] == lists[1]


def test_a_list_may_mix_tabs_spaces_and_line_ends(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"dataset8/keyframe4\t661\tl\r\ndataset2/keyframe3/      2       l\n\ndataset8/keyframe4 390 r")
    assert read_sequence_list(path) == ["dataset8/keyframe4", "dataset2/keyframe3"]


def test_names_are_one_whatever_their_spelling():
    for name in ("dataset_8/keyframe_0", "dataset8/keyframe0", "test/dataset8/keyframe0", "test/dataset_8/keyframe_0/"):
        assert canonical_name(name) == "test/dataset8/keyframe0"


def test_lists_that_cannot_be_read_are_one_line(tmp_path):
    path = tmp_path / "list.txt"
    with pytest.raises(UserError, match="no such list"):
        read_sequence_list(path)
    path.write_text("\n")
    with pytest.raises(UserError, match="the list is empty"):
        read_sequence_list(path)
