"""Lists of videos and their digest."""

import hashlib

import pytest

from fusion_dfd.datasets import listing
from fusion_dfd.types import DataError

VIDEOS = [("b/fake//x,y", 1), ("a/original//0", 0)]
WRITTEN = 'video,label\na/original//0,0\n"b/fake//x,y",1\n'


def test_the_digest_is_that_of_the_file_and_not_of_the_order(tmp_path):
    path = listing.write(tmp_path / "list.csv", VIDEOS)
    assert (tmp_path / "list.csv").read_text() == WRITTEN
    assert listing.digest(VIDEOS) == listing.digest([*VIDEOS[::-1], VIDEOS[0]])
    assert listing.digest(VIDEOS) == hashlib.sha256(WRITTEN.encode()).hexdigest()
    assert listing.read(path) == dict(VIDEOS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WRITTEN + "a/original//0,0\n", "lists a/original//0 twice"),
        (WRITTEN + "c,real\n", "c has label 'real', want 0 .real. or 1"),
        ("name,label\na,0\n", "video"),
    ],
)
def test_another_file_is_refused(text, message, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        listing.read(str(path))
