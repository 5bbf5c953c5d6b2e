"""The published lists, and users' own copies of them."""

import pytest

from endodav_jax.data.splits import published_counts, published_list, read_sequence_list
from endodav_jax.data.splits.lists import FrameEntry, read_frame_list
from endodav_jax.data.splits.scared_frames import NAMES, ListedFrame, canonical_name, scared_frame_list
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


def test_frame_lists_have_the_published_lengths():
    lengths = {name: len(scared_frame_list(name)) for name in NAMES}
    assert lengths == {
        "endovis/train_files": 21850,
        "endovis/val_files": 1046,
        "endovis/test_files": 1046,
        "endovis/test_files2": 5891,
        "endovis_old/test_files_sequence1": 410,
        "endovis_old/test_files_sequence2": 833,
    }


def test_listed_frames_have_both_neighbours_where_the_list_promises_it():
    counts = published_counts("scared_video")
    for name in NAMES[:4]:
        assert all(1 <= entry.frame_index <= counts[entry.sequence] - 2 for entry in scared_frame_list(name))
    trajectory = scared_frame_list("endovis_old/test_files_sequence1")
    assert trajectory[0] == ListedFrame("train/dataset5/keyframe4", 0)
    assert trajectory[-1].frame_index == counts["train/dataset5/keyframe4"] - 2


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_list_may_mix_tabs_spaces_and_line_ends_and_lack_the_last(end, tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(
        b"dataset8/keyframe4\t661\tl\r\ndataset2/keyframe3      2       l\ndataset3/keyframe4 390 r" + end.encode()
    )
    assert read_frame_list(path) == [
        FrameEntry("dataset8/keyframe4", 661, "l"),
        FrameEntry("dataset2/keyframe3", 2, "l"),
        FrameEntry("dataset3/keyframe4", 390, "r"),
    ]
    # AF-SfMLearner's numbering: images from 1, keyframes of data sets 8 and 9 from 1.
    assert scared_frame_list(path)[:2] == [
        ListedFrame("test/dataset8/keyframe3", 660),
        ListedFrame("train/dataset2/keyframe3", 1),
    ]
    kept = scared_frame_list(path, first_image=0, renamed_test_keyframes=False)
    assert kept[0] == ListedFrame("test/dataset8/keyframe4", 661)
    assert read_sequence_list(path)[0] == "dataset8/keyframe4"


def test_names_are_one_whatever_their_spelling():
    for name in ("dataset_8/keyframe_0", "dataset8/keyframe0", "test/dataset8/keyframe0", "test/dataset_8/keyframe_0/"):
        assert canonical_name(name) == "test/dataset8/keyframe0"


def test_lists_that_cannot_be_read_are_one_line(tmp_path):
    path = tmp_path / "list.txt"
    with pytest.raises(UserError, match="no such list"):
        read_frame_list(path)
    path.write_text("\n")
    with pytest.raises(UserError, match="the list is empty"):
        read_sequence_list(path)
    path.write_text("dataset8/keyframe4 first l")
    with pytest.raises(UserError, match="entry 1 is 'dataset8/keyframe4 first l'"):
        read_frame_list(path)
    with pytest.raises(UserError, match="neither a file nor one of endovis/train_files"):
        scared_frame_list("endovis_old/train_files")
