"""A pytest plugin that lets scrapbook's own tests read notebooks which our binary ran.

BACKLOT is the binary. The fixtures that glue with today's scrapbook are run anew by it, with their parameters; what the suite
imports and newer packages no longer have (`mock`, `pandas.util.testing`) is put where it looks. BACKLOT_STOCK=1 leaves the
fixtures as they are, which tells what fails without us.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest.mock
from pathlib import Path

import pandas.testing

RUN_ANEW = ["collection/result1.ipynb", "collection/result2.ipynb"]


def pytest_configure(config):
    sys.modules.setdefault("mock", unittest.mock)
    sys.modules.setdefault("pandas.util.testing", pandas.testing)
    import scrapbook.tests as tests

    folder = Path(tempfile.mkdtemp(prefix="backlot-scrapbook-"))
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    notebooks = folder / "notebooks"
    shutil.copytree(Path(tests.__file__).parent / "notebooks", notebooks)
    if os.environ.get("BACKLOT_STOCK") != "1":
        for name in RUN_ANEW:
            path = str(notebooks / name)
            words = [os.environ["BACKLOT"], "notebook", "run", path, path, "-p", "foo", "1", "-p", "bar", "hello", "--log-level", "ERROR"]
            subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    tests.get_notebook_path = lambda *names: str(notebooks.joinpath(*names))
    tests.get_notebook_dir = lambda *names: str(notebooks.joinpath(*names).parent)
