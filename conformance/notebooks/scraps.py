"""Values that scrapbook glues in a notebook run by our binary, and those of our own report, read by scrapbook and by us.

    scraps.py BACKLOT
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import scrapbook

backlot = sys.argv[1]
REPORT = Path(__file__).parents[2] / "departments/notebooks/notebooks/premiere-report.ipynb"
GLUE = """import scrapbook as sb
sb.glue("number", 4.5)
sb.glue("text", "é€ \\"x\\"")
sb.glue("list", [1, None, {"a": [True]}])
sb.glue("twice", 1)
sb.glue("twice", 2)
sb.glue("shown", "what is shown", "display")
"""


def ours(folder, notebook):
    target = str(Path(folder, "out.ipynb"))
    subprocess.run([backlot, "notebook", "run", str(notebook), target, "--log-level", "ERROR"], check=True, stdin=subprocess.DEVNULL)
    words = [backlot, "--output", "json", "notebook", "scraps", target]
    read = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return target, {name: scrap["data"] for name, scrap in read.items()}


def main():
    is_good = True
    print(f"scrapbook {scrapbook.__version__} and we read the same values")
    with tempfile.TemporaryDirectory() as folder:
        spec = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python"}}
        glued = Path(folder, "glue.ipynb")
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(GLUE)], metadata=spec), glued)
        for name, notebook in [("glued by scrapbook", glued), ("glued by premiere-report", REPORT)]:
            target, read = ours(folder, notebook)
            theirs = {name: scrap.data for name, scrap in scrapbook.read_notebook(target).scraps.items()}
            is_equal = read == theirs and len(read) > 3
            is_good &= is_equal
            print(f"{name:32} {len(read):>6} values {'equal' if is_equal else f'DIFFERENT: {read} {theirs}'}")
    sys.exit(not is_good)


main()
