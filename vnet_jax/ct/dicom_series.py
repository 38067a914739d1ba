"""The series of a study, and which of them is the CT to segment, by stated rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from vnet_jax.ct.dicom_slices import About, Slice
from vnet_jax.ct.dicom_stack import normal_range
from vnet_jax.errors import InputError

LEAST_SLICES = 10
LEAST_EXTENT_MM = 50.0
AXIAL = 0.7  # of the normal along z; a gantry tilt of 30 degrees has 0.87
#: Values of BodyPartExamined that hold no kidney.
ELSEWHERE = set(
    "HEAD BRAIN SKULL NECK HEADNECK CSPINE CHEST THORAX LUNG HEART CORONARY SHOULDER "
    "ARM ELBOW HAND WRIST LEG KNEE ANKLE FOOT EXTREMITY SINUS EAR JAW".split()
)
#: Kernels that sharpen: GE's, Philips's, Toshiba's and Canon's by name.
SHARP = set(
    "BONE BONEPLUS LUNG EDGE ULTRA HD LUNG HD BONE D E L YA YB YC YD "
    "FC30 FC31 FC35 FC50 FC51 FC52 FC53 FC54 FC55 FC56 FC57 FC58 FC59 FC80 FC81 FC82 "
    "FC83 FC84 FC85 FC86".split()
)
SOFT = set(
    "STANDARD SOFT DETAIL A B C "
    "FC01 FC02 FC03 FC04 FC05 FC07 FC08 FC09 FC10 FC11 FC12 FC13 FC14 FC15 FC17 FC18 "
    "FC19".split()
)
SIEMENS = re.compile(r"[A-Z]{1,2}(\d\d)[A-Z]?\b")  # B30f, I40f\3, Br44, Bl57
SHARP_FROM = 50  # of Siemens's numbers
NAMED = "pass --series=UID"


@dataclass(frozen=True)
class Series:
    """The slices of one SeriesInstanceUID of a study.

    Attributes:
        slices: in no order.
    """

    slices: tuple[Slice, ...]

    @property
    def about(self) -> About:
        """What the slices share, of the first that is no localizer."""
        return (self.images or self.slices)[0].about

    @property
    def uid(self) -> str:
        """SeriesInstanceUID, as it may be printed."""
        return re.sub(r"[^0-9.]", "?", self.about.series)[:64]

    @cached_property
    def images(self) -> tuple[Slice, ...]:
        """The slices without localizers."""
        return tuple(s for s in self.slices if not s.about.localizer)

    @cached_property
    def extent_mm(self) -> float:
        """From the first to the last slice along their normal."""
        low, high = normal_range(self.images)
        return high - low

    @property
    def step_mm(self) -> float:
        """Mean distance of neighbouring slices."""
        return self.extent_mm / max(1, len(self.images) - 1)

    @property
    def digest(self) -> str:
        """SHA-256 over those of its files, whatever their names and order."""
        files = sorted({s.sha256 for s in self.images})
        return sha256("".join(files).encode()).hexdigest()

    @property
    def kernel(self) -> str:
        """soft, sharp or unknown: see the rules."""
        return kernel_kind(self.about.kernel)

    def described(self) -> str:
        """Such as "1.2.3 (120 slices of 3 mm, soft kernel, contrast)"."""
        about = self.about
        facts = [f"{len(self.images)} slices of {self.step_mm:.3g} mm"]
        facts += [f"{self.kernel} kernel"] if about.kernel else []
        facts += ["contrast"] if about.contrast else []
        return f"{self.uid} ({', '.join(facts)})"


@dataclass(frozen=True)
class Study:
    """The series of one StudyInstanceUID.

    Attributes:
        uid: StudyInstanceUID.
        series: sorted by their UID.
    """

    uid: str
    series: tuple[Series, ...]

    @property
    def name(self) -> str:
        """A name that says nothing of the patient: "ct_" and a hash of the UID."""
        return f"ct_{sha256(self.uid.encode()).hexdigest()[:12]}"


def studies_of(slices: Sequence[Slice]) -> tuple[Study, ...]:
    """The slices by study and series, sorted by UID.

    What is no CT is a series of its own, whatever UID it has.
    """
    found: dict[str, dict[tuple[str, str], list[Slice]]] = {}
    for one in slices:
        series = found.setdefault(one.about.study, {})
        series.setdefault((one.about.series, one.about.modality), []).append(one)
    return tuple(
        Study(uid, tuple(Series(tuple(s)) for _, s in sorted(series.items())))
        for uid, series in sorted(found.items())
    )


def unfit(series: Series) -> str:
    """Why a series is no CT to segment, or nothing."""
    about = series.about
    if about.modality != "CT":
        return f"modality {printable(about.modality) or 'unknown'}"
    if not series.images:
        return "localizer"
    if "SECONDARY" in about.image_type[1:2]:
        return "secondary: no picture of the scanner's"
    if len(series.images) < LEAST_SLICES:
        return f"{len(series.images)} slices, fewer than {LEAST_SLICES}"
    placed = [s for s in series.images if not s.fault]
    if placed and abs(np.cross(placed[0].row, placed[0].column)[2]) < AXIAL:
        return "not axial"
    if placed and series.extent_mm < LEAST_EXTENT_MM:
        return f"{series.extent_mm:.3g} mm long, less than {LEAST_EXTENT_MM:g}"
    return ""


def rank(series: Series) -> tuple:
    """Smaller is better: original, the abdomen, contrast, soft kernel, thin slices."""
    about = series.about
    return (
        about.image_type[:1] == ("DERIVED",),
        about.body_part in ELSEWHERE,
        not about.contrast,
        ("soft", "unknown", "sharp").index(series.kernel),
        round(series.step_mm, 1),
    )


def choose(study: Study, uid: str | None = None, path=None) -> Series:
    """The CT of a study: the one that is asked for, or by the rules.

    Args:
        study: with one series or several.
        uid: the SeriesInstanceUID asked for; its modality must be CT.
        path: for the messages.

    Raises:
        InputError: none fits, or the rules leave two: they are named.
    """
    if uid is not None:
        named = [s for s in study.series if s.uid == uid]
        series = next((s for s in named if s.about.modality == "CT"), None)
        if series is None or not series.images:
            raise InputError(path, f"no CT series {uid}", "see --list_series")
        return series
    fits = sorted((s for s in study.series if not unfit(s)), key=rank)
    if not fits:
        reasons = "; ".join(f"{s.uid}: {unfit(s)}" for s in study.series[:5])
        wrong = f"no series that is an axial CT of the body ({reasons})"
        raise InputError(path, wrong, f"give another study, or {NAMED}")
    best = [s for s in fits if rank(s) == rank(fits[0])]
    if len(best) > 1:
        named = " and ".join(s.described() for s in best[:3])
        wrong = f"{len(best)} series are equally fit: {named}"
        raise InputError(path, wrong, f"{NAMED}; --list_series lists all")
    return best[0]


def kernel_kind(kernel: str) -> str:
    """Whether a reconstruction kernel is soft, sharp or unknown.

    Args:
        kernel: ConvolutionKernel in capitals, several values joined by backslashes.
    """
    first = kernel.split("\\")[0].strip()
    if first in SOFT:
        return "soft"
    if first in SHARP or first.startswith(("BONE", "LUNG")):
        return "sharp"
    if found := SIEMENS.match(first):
        return "sharp" if int(found[1]) >= SHARP_FROM else "soft"
    return "unknown"


def printable(text: str) -> str:
    """A code as it may be printed: letters, digits and a few signs, 16 at most."""
    return re.sub(r"[^A-Za-z0-9 ._/+-]", "", text)[:16]
