from benchmarks.size import Size, below, ratio


def test_files_count_under_the_entry_that_holds_them(tmp_path) -> None:
    (tmp_path / "small.py").write_bytes(b"1" * 10)
    (tmp_path / "large" / "inner").mkdir(parents=True)
    (tmp_path / "large" / "inner" / "library.so").write_bytes(b"1" * 1000)
    (tmp_path / "large" / "link.so").symlink_to(tmp_path / "large" / "inner" / "library.so")
    found = below(tmp_path)
    assert list(found.items()) == [("large", 1000), ("small.py", 10)]
    assert Size("here", found).total == 1010


def test_a_ratio_takes_two_sizes() -> None:
    assert ratio([Size("a", {"x": 1}), Size("b", {"x": 4})]) == 0.25
    assert ratio([Size("a", {"x": 1}), Size("b", why="no pip")]) is None
    assert ratio([]) is None
