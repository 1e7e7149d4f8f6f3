"""The file that is told of each start."""

from pathlib import Path

import pytest

from benchmarks import witness


def told(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_what_is_noted_is_read_back_with_its_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "starts"
    monkeypatch.setenv(witness.VARIABLE, str(path))
    witness._file.cache_clear()
    try:
        witness.note("7")
    finally:
        witness._file.cache_clear()
    ((token, moment),) = witness.starts(path)
    assert token == "7"
    assert moment > 1.7e9


def test_ignored_starts_do_not_count(tmp_path: Path) -> None:
    path = told(tmp_path / "starts", "warm 1700000000.000000", "a 1700000001.500000")
    assert witness.wait_for(path, 1, 0.0, ignore=("warm",)) == [("a", 1700000001.5)]


def test_what_stood_there_before_does_not_count(tmp_path: Path) -> None:
    path = told(tmp_path / "starts", "a 1700000000.000000")
    after = path.stat().st_size
    with path.open("a") as file:
        file.write("b 1700000002.000000\n")
    assert witness.wait_for(path, 1, 0.0, after=after) == [("b", 1700000002.0)]


def test_after_its_patience_it_answers_what_there_is(tmp_path: Path) -> None:
    path = told(tmp_path / "starts", "a 1700000000.000000", "b 1700000001.000000")
    assert witness.wait_for(path, 3, 0.0, only={"b"}) == [("b", 1700000001.0)]


@pytest.mark.parametrize("cut", ["b", "b ", "b 17000", "b 1700000002.000000"])
def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path: Path, cut: str) -> None:
    path = told(tmp_path / "starts", "a 1700000001.000000")
    with path.open("a") as file:
        file.write(cut)
    assert witness.starts(path) == [("a", 1700000001.0)]
    with path.open("a") as file:
        file.write("b 1700000002.000000\n".removeprefix(cut))
    assert [token for token, _ in witness.starts(path)] == ["a", "b"]


def test_a_wait_ends_only_when_the_last_line_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = told(tmp_path / "starts", "a 1700000001.000000")
    with path.open("a") as file:
        file.write("a-long-token-of-a-job 1700000002.00")

    def finish(_seconds: float) -> None:
        with path.open("a") as file:
            file.write("0000\n")

    monkeypatch.setattr(witness.time, "sleep", finish)
    assert witness.wait_for(path, 2, 10.0)[-1] == ("a-long-token-of-a-job", 1700000002.0)
