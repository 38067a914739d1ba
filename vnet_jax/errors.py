"""The one exception that a user's input can cause."""

from __future__ import annotations

from os import PathLike


class InputError(ValueError):
    """Bad input, told in one line: which file, what is wrong, what to do.

    Commands print it after the program's name and exit with status 2; batch commands
    list the case as failed and go on with the others.

    Attributes:
        path: the file or folder at fault, or None when none is.
        wrong: what is wrong with it, with the offending numbers.
        remedy: what the user can do about it.
    """

    def __init__(self, path: str | PathLike | None, wrong: str, remedy: str = ""):
        self.path = path
        self.wrong = wrong
        self.remedy = remedy
        line = f"{path}: {wrong}" if path is not None else wrong
        line = f"{line}; {remedy}" if remedy else line
        super().__init__(" ".join(line.splitlines()))  # whatever a name or value holds

    def __reduce__(self):
        """Its three arguments, so that it comes whole out of another process."""
        return type(self), (self.path, self.wrong, self.remedy)
