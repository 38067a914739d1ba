import hashlib
import io
import os
import tarfile

import pytest

from vnet_jax.reports import niivue

CONTENT = b"globalThis.niivue = {}"


@pytest.fixture
def expected(monkeypatch):
    monkeypatch.setattr(niivue, "SHA256", hashlib.sha256(CONTENT).hexdigest())


def broken():
    raise OSError("no\nnetwork")


def test_the_sources_are_tried_in_turn_until_one_gives_the_file(tmp_path, expected):
    place = tmp_path / "assets" / "niivue.js"
    assert niivue.fetch(place, [broken, lambda: b"another file", lambda: CONTENT])
    assert place.read_bytes() == CONTENT
    assert [p.name for p in place.parent.iterdir()] == ["niivue.js"]
    assert not niivue.fetch(place, [broken])  # there already: nothing is asked


def test_no_source_is_told_in_one_line_and_leaves_nothing(tmp_path, expected):
    with pytest.raises(niivue.NotFetched) as told:
        niivue.fetch(tmp_path / "a.js", [broken, lambda: b"another file"])
    assert str(told.value) == (
        "no network; another file than expected: its SHA-256 differs"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_changed_file_is_fetched_anew_and_never_used(tmp_path, expected, monkeypatch):
    place = tmp_path / "niivue.js"
    monkeypatch.setattr(niivue, "PLACE", place)
    assert niivue.source() is None
    place.write_bytes(b"changed")
    assert niivue.source() is None
    assert niivue.fetch(place, [lambda: CONTENT])
    assert niivue.source() == CONTENT.decode()


def fake_npm(folder, script):
    folder.mkdir()
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return os.pathsep.join([str(folder), os.environ["PATH"]])


def test_npm_packs_the_file(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "made.tgz", "w:gz") as archive:
        entry = tarfile.TarInfo(f"package/{niivue.MEMBER}")
        entry.size = len(CONTENT)
        archive.addfile(entry, io.BytesIO(CONTENT))
    script = f'[ "$2" = "{niivue.PACKAGE}" ] && cp "{tmp_path}/made.tgz" niivue.tgz'
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", script))
    assert niivue.from_npm() == CONTENT


def test_npm_that_fails_or_is_missing_is_an_oserror(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", "echo offline >&2; exit 1"))
    with pytest.raises(OSError, match="npm pack: offline"):
        niivue.from_npm()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="no npm on the PATH"):
        niivue.from_npm()


def test_the_command_says_where_it_is_or_why_not(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(niivue, "fetch", lambda: True)
    assert niivue.main() == 0
    assert "is now in" in capsys.readouterr().out
    monkeypatch.setattr(niivue, "fetch", broken)
    assert niivue.main() == 2
    assert capsys.readouterr().err.startswith("vnet_jax: NiiVue was not fetched: no")


def test_the_file_that_is_here_is_the_one_expected():
    if not niivue.PLACE.is_file():
        pytest.skip("NiiVue's file was not fetched: python -m vnet_jax.reports.niivue")
    assert len(niivue.source().encode()) == niivue.BYTES
