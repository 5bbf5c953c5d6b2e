"""Building TFDS data sets: what is stored, how a build ends, and how it goes on after a kill."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest
import tensorflow_datasets as tfds

from endodav_jax.data.builders.staging import StoredAs
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.data.prepared import PreparedSplit, find_prepared
from endodav_jax.data.verify import verify_prepared
from endodav_jax.errors import UserError
from tests.data.tiny_source import TinySource, prepare_tiny


@pytest.mark.parametrize("storage", ["fast", "compact"])
def test_every_stored_value_comes_back_bit_by_bit(tmp_path, storage):
    source = TinySource({"a/one": 4, "b": 3}, first=7)
    folder = prepare_tiny(tmp_path, source, stored=StoredAs(None, storage))
    videos = EvaluationVideos(folder, "train")
    assert videos.sequences == ("a/one", "b")
    for sequence, length in source.lengths.items():
        frames = list(videos.frames(sequence))
        assert [frame.frame_index for frame in frames] == list(range(7, 7 + length))
        for found in frames:
            truth = source.frame(sequence, found.frame_index)
            np.testing.assert_array_equal(found.frame, truth.frame)
            np.testing.assert_array_equal(found.depth_mm, truth.depth_mm)
            np.testing.assert_array_equal(found.cam_from_world, truth.cam_from_world)
            np.testing.assert_array_equal(found.intrinsics, truth.intrinsics)
            np.testing.assert_array_equal(found.view_mask, truth.view_mask)


def test_plain_tfds_reads_the_folder_without_tensorflow(tmp_path):
    source = TinySource({"a": 3})
    folder = prepare_tiny(tmp_path, source)
    code = f"""
        import sys
        import tensorflow_datasets as tfds
        records = tfds.builder_from_directory({str(folder)!r}).as_data_source("train")
        record = records[2]
        assert record["frame"].shape == (12, 16, 3) and record["frame"].dtype == "uint8", record["frame"].shape
        assert record["depth_mm"].dtype == "float32" and record["depth_mm"].shape == (12, 16)
        assert record["cam_from_world"].dtype == "float64"
        assert record["sequence"] == b"a" and record["frame_index"] == 2
        assert "tensorflow" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    np.testing.assert_array_equal(
        tfds.builder_from_directory(folder).as_data_source("train")[1]["frame"], source.frame("a", 1).frame
    )


def test_unknown_depth_and_pose_are_none(tmp_path):
    folder = prepare_tiny(tmp_path, TinySource({"a": 2}, depth=False))
    frame = next(EvaluationVideos(folder, "train").frames("a"))
    assert frame.depth_mm is None
    assert frame.cam_from_world is None


def test_frames_are_stored_at_the_size_asked_for(tmp_path):
    source = TinySource({"a": 2}, shape=(32, 48))
    folder = prepare_tiny(tmp_path, source, stored=StoredAs((16, 12), "fast"))
    frame = next(EvaluationVideos(folder, "train").frames("a"))
    truth = source.frame("a", 0)
    assert frame.frame.shape == (16, 12, 3)
    # Rows are halved and columns quartered: nearest takes the pixel at or after the middle.
    np.testing.assert_array_equal(frame.depth_mm, truth.depth_mm[1::2, 2::4])
    np.testing.assert_allclose(frame.intrinsics, [20.1 / 4, 21.2 / 2, 7.8 / 4 - 0.5, 6.9 / 2 - 0.5])


def test_several_processes_build_the_same_files(tmp_path):
    source = TinySource({"a": 5, "b": 4, "c": 3})
    counted = []
    one = prepare_tiny(tmp_path / "one", source, splits=("train", "test"))
    two = prepare_tiny(tmp_path / "two", source, splits=("train", "test"), workers=2, progress=counted.append)
    assert sum(counted) == 12
    shards = sorted(path.name for path in one.glob("*.array_record*"))
    assert len(shards) == 6
    for shard in shards:
        assert (one / shard).read_bytes() == (two / shard).read_bytes()


def test_a_sequence_of_two_splits_is_built_and_stored_once(tmp_path):
    read = []

    class Counting(TinySource):
        def read(self, sequence, **kwargs):
            read.append(sequence)
            return super().read(sequence, **kwargs)

    folder = prepare_tiny(tmp_path, Counting({"a/b": 2, "c": 2}), splits=("train", "test"))
    assert read == ["a/b", "c"]
    assert len({path.stat().st_ino for path in folder.glob("*.array_record*")}) == 2
    assert PreparedSplit.open(folder, "test").sequences == ("a/b", "c")


def test_a_bad_frame_ends_the_build_by_name_and_leaves_no_data_set(tmp_path):
    source = TinySource({"a": 3, "b": 4}, bad={"b": (2,)})
    with pytest.raises(UserError, match="b, frame 2: truncated PNG"):
        prepare_tiny(tmp_path, source)
    with pytest.raises(UserError, match="not finished; repeat"):
        find_prepared(tmp_path)


def test_skipped_frames_are_named_and_gone(tmp_path):
    source = TinySource({"a": 3, "b": 4}, bad={"b": (2,)})
    folder = prepare_tiny(tmp_path, source, on_bad_frame="skip")
    split = PreparedSplit.open(folder, "train")
    assert split.lengths == (3, 3)
    assert split.skipped == ("b, frame 2: truncated PNG",)
    assert [frame.frame_index for frame in EvaluationVideos(folder, "train").frames("b")] == [0, 1, 3]


def test_a_sequence_without_any_usable_frame_is_refused(tmp_path):
    with pytest.raises(UserError, match="a: no usable frame"):
        prepare_tiny(tmp_path, TinySource({"a": 2}, bad={"a": (0, 1)}), on_bad_frame="skip")


def test_finished_sequences_are_not_built_again(tmp_path):
    broken = TinySource({"a": 3, "b": 4}, bad={"b": (2,)})
    with pytest.raises(UserError):
        prepare_tiny(tmp_path, broken)
    staged = next(tmp_path.glob("**/*.building/a.array_record"))
    stamp = staged.stat().st_mtime_ns
    read = []

    class Mended(TinySource):
        def read(self, sequence, **kwargs):
            read.append(sequence)
            return super().read(sequence, **kwargs)

    folder = prepare_tiny(tmp_path, Mended({"a": 3, "b": 4}))
    assert read == ["b"]
    assert PreparedSplit.open(folder, "train").lengths == (3, 4)
    assert next(folder.glob("*array_record-00000*")).stat().st_mtime_ns == stamp
    assert not list(tmp_path.glob("**/*.building"))


def test_a_build_begun_with_other_settings_is_not_mixed_in(tmp_path):
    with pytest.raises(UserError):
        prepare_tiny(tmp_path, TinySource({"a": 3, "b": 4}, bad={"b": (2,)}))
    with pytest.raises(UserError, match="other settings"):
        prepare_tiny(tmp_path, TinySource({"a": 3, "b": 4}), stored=StoredAs((6, 8), "fast"))


KILLED = """
    import sys, time
    from pathlib import Path
    from tests.data.tiny_source import TinySource, prepare_tiny

    class Slow(TinySource):
        def frame(self, sequence, index):
            if sequence == "b" and index == 2:
                print("in b", flush=True)
                time.sleep(60)
            return super().frame(sequence, index)

    prepare_tiny(Path(sys.argv[1]), Slow({"a": 3, "b": 4}))
"""


def test_a_killed_build_is_never_taken_for_a_whole_one_and_goes_on(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.strip() == "in b":
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with pytest.raises(UserError, match="not finished; repeat"):
        PreparedSplit.open(tmp_path, "train")
    staged = next(tmp_path.glob("**/*.building/a.array_record"))
    stamp = staged.stat().st_mtime_ns
    folder = prepare_tiny(tmp_path, TinySource({"a": 3, "b": 4}))
    assert next(folder.glob("*array_record-00000*")).stat().st_mtime_ns == stamp
    fresh = prepare_tiny(tmp_path / "fresh", TinySource({"a": 3, "b": 4}))
    for shard in fresh.glob("*.array_record*"):
        assert (folder / shard.name).read_bytes() == shard.read_bytes()
    assert not list(tmp_path.glob("**/*incomplete*"))


def test_a_kill_while_the_data_set_gets_its_name_leaves_nothing_that_is_taken_for_one(tmp_path):
    source = TinySource({"a": 3})
    whole = prepare_tiny(tmp_path, source)
    leftover = whole.rename(whole.with_name("incomplete.AB12CD_1.0.0"))
    with pytest.raises(UserError, match="no prepared data set"):
        find_prepared(tmp_path)
    prepare_tiny(tmp_path, source)
    assert not leftover.exists()
    assert find_prepared(tmp_path) == [whole]


FULL = """
    import resource, signal, sys
    from pathlib import Path
    from endodav_jax.errors import UserError
    from tests.data.tiny_source import TinySource, prepare_tiny

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # writes fail from here on, as on a full disk
    try:
        prepare_tiny(Path(sys.argv[1]), TinySource({"a": 2, "b": 40}, shape=(64, 64)))
    except UserError as error:
        print(error)
    else:
        sys.exit("was built")
"""


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "b.array_record: " in done.stdout
    assert "free some space and repeat the command" in done.stdout
    assert len(done.stdout.strip().splitlines()) == 1
    with pytest.raises(UserError, match="not finished"):
        PreparedSplit.open(tmp_path, "train")


def test_a_shard_cut_short_is_found_when_the_data_set_is_opened(tmp_path):
    folder = prepare_tiny(tmp_path, TinySource({"a": 3, "b": 4}))
    shard = sorted(folder.glob("*.array_record*"))[1]
    os.truncate(shard, shard.stat().st_size // 2)
    with pytest.raises(UserError, match=f"{shard.name}.*prepare the data set again"):
        PreparedSplit.open(folder, "train")


def test_memory_does_not_depend_on_the_length_of_a_sequence(tmp_path):
    def peak(length: int) -> int:
        tracemalloc.start()
        prepare_tiny(tmp_path / str(length), TinySource({"a": length}, shape=(96, 128)))
        value = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return value

    peak(2)  # imports and caches
    frame_bytes = 96 * 128 * (3 + 4)
    assert peak(80) - peak(8) < 10 * frame_bytes


def test_several_data_sets_below_a_path_are_listed(tmp_path):
    source = TinySource({"a": 2})
    one = prepare_tiny(tmp_path, source, name="one")
    two = prepare_tiny(tmp_path, source, name="two")
    assert find_prepared(tmp_path) == [one, two]
    with pytest.raises(UserError, match="several data sets have a split 'train'; name one of "):
        PreparedSplit.open(tmp_path, "train")
    with pytest.raises(UserError, match="no split 'validation' was prepared, only train"):
        PreparedSplit.open(one, "validation")


def test_two_builds_at_once_do_not_write_into_each_other(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline().strip() == "in b"
        with pytest.raises(UserError, match="another build is writing"):
            prepare_tiny(tmp_path, TinySource({"a": 3, "b": 4}))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b'{"splits": {"train": [{}]}, "settings": {}}', b"\xff"])
@pytest.mark.parametrize("name", ["sequences.json", "dataset_info.json"])
def test_a_damaged_description_of_a_data_set_is_one_line(tmp_path, name, content):
    folder = prepare_tiny(tmp_path, TinySource({"a": 2}))
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: is damaged; copy or prepare the data set again$"):
        PreparedSplit.open(tmp_path, "train")


def test_damaged_records_are_told_by_their_sequence_and_others_read(tmp_path):
    folder = prepare_tiny(tmp_path, TinySource({"a": 3, "b": 4}))
    file = sorted(folder.glob("*.array_record*"))[1]
    content = np.fromfile(file, np.uint8)
    content[content > 0] ^= 1
    content.tofile(file)
    split = PreparedSplit.open(folder, "train")
    told = f"{folder}: the records of b are damaged; copy or prepare the data set again"
    line = f"^{re.escape(told)}$"
    with pytest.raises(UserError, match=line):
        split.records([0, 3])
    videos = EvaluationVideos(folder, "train")
    assert len(list(videos.frames("a"))) == 3
    with pytest.raises(UserError, match=line):
        list(videos.frames("b"))
    a, b = verify_prepared(folder)
    assert not any("damaged" in note for note in a.notes)
    assert b.verdict == "odd"
    assert f"4 of 4 records cannot be read, the first is record 0: {told}" in b.notes


def test_damage_of_a_record_that_is_not_looked_at_is_odd(tmp_path, monkeypatch):
    folder = prepare_tiny(tmp_path, TinySource({"a": 60}))
    read = PreparedSplit.records

    def records(self, numbers):
        if any(number in (55, 56) for number in numbers):
            raise UserError("cannot be read")
        return read(self, numbers)

    monkeypatch.setattr(PreparedSplit, "records", records)
    (report,) = verify_prepared(folder, samples=1)
    assert report.verdict == "odd"
    assert "2 of 60 records cannot be read, the first is record 55: cannot be read" in report.notes
