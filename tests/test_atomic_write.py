"""Files are written completely or not at all, with the permissions that the user expects."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from normviz.atomic_write import check_path, write

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no permission bits or umask")


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
@pytest.mark.parametrize("permissions", [0o600, 0o640, 0o664, 0o444])
@pytest.mark.parametrize("content", ["text", b"bytes"])
def test_an_existing_file_keeps_its_permissions(tmp_path, permissions, content):
    path = tmp_path / "page.html"
    path.write_text("old")
    path.chmod(permissions)
    write(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert mode(path) == permissions


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_gets_the_permissions_of_any_new_file(tmp_path, umask):
    """In a process of its own, because the umask belongs to the whole process."""
    code = "import os, sys; os.umask(int(sys.argv[1])); from normviz.atomic_write import write; write(sys.argv[2], 'x')"
    path = tmp_path / "page.html"
    subprocess.run([sys.executable, "-c", code, str(umask), str(path)], check=True)
    assert mode(path) == 0o666 & ~umask


@posix
def test_the_umask_of_the_process_is_never_changed(tmp_path, monkeypatch):
    """Another thread that makes a file at that moment would get other permissions."""
    calls = []
    real = os.umask
    monkeypatch.setattr(os, "umask", lambda mask: calls.append(mask) or real(mask))
    for k in range(3):
        write(tmp_path / f"{k}.html", "text")
        write(tmp_path / f"{k}.html", b"bytes")
    assert calls == []


def test_threads_that_write_one_file_leave_one_complete_file(tmp_path):
    path, texts = tmp_path / "page.html", [str(k) * 100_000 for k in range(4)]
    threads = [threading.Thread(target=write, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


@posix
def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target.html", tmp_path / "link.html"
    link.symlink_to(target)
    write(link, "text")
    write(link, b"bytes")
    assert link.is_symlink()
    assert target.read_text() == "bytes"


@posix
def test_the_longest_file_name_can_be_written(tmp_path):
    path = tmp_path / ("a" * 250 + ".html")
    write(path, "text")
    assert path.read_text() == "text"


@pytest.mark.parametrize("content", ["text \udc80", "x" * 10])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, content):
    path = tmp_path / "page.html"
    path.write_text("old")

    def full(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises((OSError, UnicodeEncodeError)):
        write(path, content)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


class Returns:
    """A path that returns this from __fspath__."""

    def __init__(self, value):
        self.value = value

    def __fspath__(self):
        return self.value


@pytest.mark.parametrize("wrong", [3, None, b"page.html", Returns(b"page.html"), Returns(3)])
def test_a_path_is_a_string_or_a_path(wrong):
    with pytest.raises(TypeError, match="path must be a str or a Path, not"):
        check_path(wrong)


def test_a_path_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder; give the name of a file in it"):
        write(tmp_path, "text")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere to write page\.html into"):
        write(tmp_path / "nowhere" / "page.html", "text")
    with pytest.raises(ValueError, match=r"^path is empty; give the name of a file$"):
        write("", "text")
    with pytest.raises(ValueError, match="holds a null character"):
        write(f"{tmp_path}/a\0b", "text")
    with pytest.raises(ValueError, match=r"^path .*a.ud800b' holds half a character"):
        check_path(Path("a\ud800b"))


@posix
def test_a_link_that_leads_to_itself_is_named_and_kept(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("link")
    for writer in (check_path, lambda path: write(path, "text")):
        with pytest.raises(OSError, match=r"symbolic links: .*link'$") as caught:
            writer(link)
        assert caught.value.errno == errno.ELOOP
    assert link.is_symlink()
    assert [file.name for file in tmp_path.iterdir()] == ["link"]


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_names_the_file_that_was_asked_for(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=r"page\.html"):
        write(tmp_path / "page.html", "text")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
def test_a_device_that_is_full_is_named():
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'$") as caught:
        write("/dev/full", "text")
    assert caught.value.filename == "/dev/full"


@posix
def test_a_failed_move_names_the_file_that_was_asked_for_alone(tmp_path, monkeypatch):
    path = tmp_path / "page.html"

    def busy(self, target):
        raise OSError(16, "Device or resource busy", str(self), None, str(target))

    monkeypatch.setattr("pathlib.Path.replace", busy)
    with pytest.raises(OSError, match=r"^\[Errno 16\] Device or resource busy: '.*page\.html'$") as caught:
        write(path, "text")
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
