"""Where a config that may be a stranger's can write."""

import pytest

from vqgen.errors import DataError
from vqgen.runs.confine import confine, mark, require_allowed


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a run in it, and a large disk elsewhere."""
    for place in ("here/runs/mine", "scratch"):
        (tmp_path / place).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    confine(tmp_path / "here", foreign=[tmp_path / "here/runs/mine"])
    return tmp_path / "here"


def refused(path):
    with pytest.raises(DataError, match="refused"):
        require_allowed(path, path.parent)
    return True


@pytest.mark.parametrize("link", ["data", "data/prepared", "data/deep/er"])
@pytest.mark.parametrize("shown", ["relative", "absolute"])
def test_a_link_of_ones_own_to_a_large_disk_is_followed_though_its_cache_is_gone(here, link, shown):
    (here / link).parent.mkdir(parents=True, exist_ok=True)
    (here / link).symlink_to(here.parent / "scratch")
    path = here / link / "prepared/folder-64x64/train-array"
    require_allowed(path if shown == "absolute" else path.relative_to(here), here)


@pytest.mark.parametrize("link", ["runs/mine/cache", "runs/cache", "runs/other/data"])
def test_a_link_that_may_have_come_with_a_run_is_not_followed(here, link):
    (here / link).parent.mkdir(parents=True, exist_ok=True)
    (here / link).symlink_to(here.parent / "scratch")
    assert refused(here / link / "prepared")


def test_what_is_outside_without_a_link_is_refused_unless_it_is_marked(here):
    (here / "data").symlink_to(here.parent / "scratch")
    assert refused(here.parent / "scratch/prepared")
    assert refused(here / "data/../prepared")
    assert refused(here / "../elsewhere")
    mark(here.parent / "scratch")
    require_allowed(here.parent / "scratch/prepared", here)


def test_a_run_that_is_the_working_folder_itself_has_no_link_of_the_users(here):
    (here / "data").symlink_to(here.parent / "scratch")
    confine(here, foreign=[here])
    assert refused(here / "data/prepared")
