"""The flags that say how a command speaks, which several programs have."""

from __future__ import annotations

from absl import flags

flags.DEFINE_bool(
    "json", False, "one JSON object on stdout at the end; all else on stderr"
)
flags.DEFINE_bool("quiet", False, "say nothing but errors")
