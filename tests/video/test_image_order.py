"""Which image follows which, and which number each has."""

from pathlib import Path

import pytest

from endodav_jax.video.image_order import frame_numbers, in_order


def shuffled(names: list[str]) -> list[Path]:
    return [Path("seq") / name for name in sorted(names, key=lambda name: hash((name, 3)))]


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["f8.png", "f9.png", "f10.png"], [8, 9, 10]),
        ([f"frame{i:04d}_w640.png" for i in range(12)], list(range(12))),
        ([f"img{i:03d}_2023-04-05.png" for i in range(12)], list(range(12))),
        ([f"2024_{i}_left.png" for i in range(12)], list(range(12))),
        ([f"case7-{i}.jpg" for i in (3, 5, 40)], [3, 5, 40]),
        ([f"5\u00b2{i}.png" for i in range(12)], list(range(12))),
        # Seconds and microseconds, over the turn of a second: no part of it counts frames.
        ([f"{1305031102 + (i + 8) // 10}.{(i + 8) % 10}75304.png" for i in range(12)], None),
        # Nanoseconds since 1970 (EuRoC) are no numbers of frames either.
        ([f"{1403636579763555584 + 50000000 * i}.png" for i in range(4)], None),
        (["10-32-59.png", "10-33-00.png", "10-33-01.png", "10-34-00.png"], None),
        (["a2.png", "b1.png"], None),
        (["start.png", "view.png"], None),
        (["0.jpg", "0.png", "1.png"], None),
    ],
)
def test_order_is_natural_and_a_number_counts_only_where_it_agrees(names, numbers):
    ordered = in_order(shuffled(names))
    assert [path.name for path in ordered] == names
    assert frame_numbers(ordered) == numbers


def test_fractions_of_unequal_length_are_read_as_the_times_are_even():
    decimals = [f"{100 + i / 8}.png" for i in range(1, 16)]  # 100.125, 100.25, 100.375 ...
    assert [path.name for path in in_order(shuffled(decimals))] == decimals
    # Integers of nanoseconds without leading zeros.
    ros = [f"{100 + i // 20}.{i % 20 * 50000000}.png" for i in range(40)]
    assert [path.name for path in in_order(shuffled(ros))] == ros
