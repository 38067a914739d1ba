"""The flag of the commands that can say what they would do."""

from __future__ import annotations

from absl import flags

flags.DEFINE_bool("dry_run", False, "tell what would be done, and write nothing")
