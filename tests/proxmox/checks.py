"""Named checks and their counts. A check that fails says what was expected and what came; nothing is swallowed."""

import traceback


class Checks:
    """What was checked in one run of the suite."""

    def __init__(self):
        self.passed, self.failed, self.skipped, self.part = 0, [], [], ""

    def equal(self, name, got, expected):
        """The value is exactly that one."""
        return self._row(name, got == expected, f"expected {expected!r}, got {got!r}")

    def that(self, name, holds, got=None):
        """The condition holds."""
        return self._row(name, bool(holds), f"got {got!r}" if got is not None else "it does not hold")

    def skip(self, name, why):
        """Not checked, said so that it can be seen."""
        self.skipped.append(name)
        print(f"skip  {self.part}: {name}: {why}", flush=True)

    def run(self, name, part, *args):
        """Runs a part. One that breaks, or that checks nothing, has failed."""
        self.part, before = name, self.count()
        try:
            part(self, *args)
        except Exception:  # The part's remaining checks are lost: that is one failure, told whole.
            self._row("the part runs to its end", False, traceback.format_exc())
        if self.count() == before:
            self._row("the part checks something", False, "nothing was checked")
        print(f"----  {name}: {self.count() - before} checks", flush=True)

    def count(self):
        return self.passed + len(self.failed) + len(self.skipped)

    def _row(self, name, holds, why):
        if holds:
            self.passed += 1
            print(f"ok    {self.part}: {name}", flush=True)
        else:
            self.failed.append(f"{self.part}: {name}")
            print(f"FAIL  {self.part}: {name}: {why}", flush=True)
        return holds
