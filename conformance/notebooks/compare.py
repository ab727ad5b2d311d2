"""Runs notebooks with papermill and with our binary, and compares the files byte by byte.

What differs from run to run is masked in both alike: times, durations, cell ids, addresses, process ids. Prints one line of
JSON for each case: name, whether the bytes are equal (and whether they are with streams joined), both exit codes, and the
first difference.

    compare.py BACKLOT FOLDER-OF-FIXTURES [NAME…]
"""

import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MASKS = [
    (re.compile(r'"(end_time|start_time)": "[^"]*"'), r'"\1": "T"'),
    (re.compile(r'"duration": [0-9.e-]+'), '"duration": 0'),
    (re.compile(r'"((iopub|shell)\.[a-z_.]+)": "[0-9T:.-]+Z"'), r'"\1": "T"'),
    (re.compile(r'"id": "[0-9a-f]{8}"'), '"id": "ID"'),
    (re.compile(r"ipykernel_\d+"), "ipykernel_PID"),
    (re.compile(r"0x[0-9a-f]{8,}"), "0xADDRESS"),
    (re.compile(r"/\d+\.py"), "/N.py"),
    (re.compile(r"/(theirs|ours)\b"), "/SIDE"),
]

SPEC = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}


def masked(path):
    if not path.exists():
        return "(no file)"
    text = path.read_text(encoding="utf-8")
    return mask(text)


def joined(path):
    """The notebook with neighbouring pieces of one stream joined: where the kernel cut them depends on its timer."""
    if not path.exists():
        return "(no file)"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        outputs = []
        for output in cell.get("outputs", []):
            last = outputs[-1] if outputs else {}
            if output["output_type"] == "stream" == last.get("output_type") and output["name"] == last["name"]:
                last["text"] = "".join(last["text"] + output["text"]).splitlines(True)
            else:
                outputs.append(output)
        if "outputs" in cell:
            cell["outputs"] = outputs
    return mask(json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False, separators=(",", ": ")))


def mask(text):
    for pattern, word in MASKS:
        text = pattern.sub(word, text)
    return text


def notebook(*cells, minor=4, metadata=None, **more):
    return json.dumps({"cells": list(cells), "metadata": {**SPEC, **(metadata or {})}, "nbformat": 4, "nbformat_minor": minor, **more})


def code(source, tags=None, **more):
    metadata = {"tags": tags} if tags is not None else {}
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": [], "execution_count": None, **more}


def markdown(source, **more):
    return {"cell_type": "markdown", "metadata": {}, "source": source, **more}


def generated():
    """Notebooks that the fixtures leave out."""
    display = "from IPython.display import *\n"
    yield "empty", notebook(), []
    yield "rich_outputs", notebook(
        code(display + "display(HTML('<b>x</b>\\n<i>y</i>'), SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>'), Javascript('1\\n2'))\nImage(data=b'\\x89PNG', format='png')"),
        code(display + "display(JSON({'b': [1, float('nan'), 10**30], 'a': 'é😀'}), Markdown('# h\\n\\ntext'), Latex('$x$'))"),
    ), []
    yield "streams", notebook(
        code("import sys, time\nprint('a\\rb\\x08c\\x1b[31mred')\nsys.stdout.flush()\ntime.sleep(0.5)\nprint('e', file=sys.stderr)\nsys.stderr.flush()\ntime.sleep(0.5)\nprint('\\u2028line\\x85x\\x0by')"),
    ), []
    yield "displays_are_updated", notebook(
        code(display + "h = display('old', display_id='d')\ndisplay('other')"), code("h.update('new')\nh.display('again')"), code("h.update({'x': 1})"),
    ), []
    yield "outputs_are_cleared", notebook(
        code(display + "print('gone', flush=True)\ndisplay('gone too')\nclear_output()\ndisplay('kept')"),
        code(display + "display('gone')\nclear_output(wait=True)\ndisplay('kept')"),
        code(display + "display('kept')\nclear_output(wait=True)"),
    ), []
    yield "an_error_is_marked", notebook(markdown("# t"), code("1"), code("def f():\n  raise ValueError('nö')\nf()"), code("2")), []
    yield "an_error_that_may_be", notebook(code("1/0", ["raises-exception"]), code("2")), []
    yield "skipped_cells", notebook(code("1/0", ["skip-execution"]), code("  \n"), {"cell_type": "raw", "metadata": {"format": "text/x"}, "source": ["r\n", "w"]}, code("3")), []
    yield "syntax_error", notebook(code("def (")), []
    yield "exit_code_3", notebook(code("import sys; sys.exit(3)"), code("1")), []
    yield "exit_without_code", notebook(code("exit()"), code("1")), []
    yield "keys_and_numbers", notebook(
        code("1", [], collapsed=True), markdown("m", attachments={"a.png": {"image/png": "QQ==", "text/plain": ["x\n", "y"]}}),
        metadata={"z": [1.10, 1e20, 1e-7, 10**30, -0.0, {"k": float("nan"), "é": "\u0001\u007f"}], "a": {}, "b": []},
    ), []
    yield "old_outputs_are_replaced", notebook(
        code("1", ["t"], outputs=[{"output_type": "stream", "name": "stdout", "text": ["old\n"]}], execution_count=9), metadata={"papermill": {"parameters": {"old": 1}, "version": "1"}},
    ), []
    for minor in range(6):
        cells = [markdown("m"), code("6 * 7")]
        yield f"minor_version_{minor}", notebook(*cells, minor=minor), []
    yield "duplicate_ids", notebook({**code("1"), "id": "same"}, {**code("2"), "id": "same"}, code("3"), minor=5), []
    yield "parameters_replaced", notebook(code("a = 1", ["parameters"]), code("a = 2", ["injected-parameters"]), code("a")), ["-p", "a", "3"]
    yield "parameters_first", notebook(code("a")), ["-p", "a", "1e3", "-r", "b", "007", "-y", "{c: [yes, 010, 1:30, .inf, ~, 2024-01-02], d: {k: 'it''s \"q\"'}}"]
    yield "parameters_of_every_type", notebook(code("a = 1", ["parameters"]), code("print(a, b, c, d, e)")), [
        "-p", "a", "1_000", "-p", "b", "nan", "-p", "c", "None", "-p", "d", "é€😀\n\t\"\\", "-p", "e", "-5", "--inject-paths",
    ]
    yield "report_mode", notebook(code("a = 1", ["parameters"], ), markdown("m"), code("a")), ["-p", "a", "2", "--report-mode"]
    yield "prepared_only", notebook(code("a = 1", ["parameters"]), markdown("m"), code("a")), ["-p", "a", "2", "--prepare-only"]
    yield "prepared_without_parameters", notebook(code("a"), markdown("m")), ["--prepare-only"]
    yield "no_saves", notebook(code("1"), code("2")), ["--no-request-save-on-cell-execute"]
    yield "comm_states", notebook(code(
        "from ipykernel.comm import Comm\nc = Comm(target_name='jupyter.widget', data={'state': {'_model_name': 'M', '_model_module': 'm', '_model_module_version': '1', 'v': 1}}, comm_id='0123')\nc.send({'method': 'update', 'state': {'v': 2}})"
    )), []
    yield "papers_over_cwd", notebook(code("import os; os.path.basename(os.getcwd())")), ["--cwd", "sub"]
    yield "mixed_errors", notebook(code("1/0", ["raises-exception"]), code("import sys; sys.exit(0)"), code("3")), []
    yield "r_parameters", json.dumps({"cells": [markdown("m")], "metadata": {"kernelspec": {"name": "ir", "language": "R", "display_name": "R"}}, "nbformat": 4, "nbformat_minor": 2}), ["-p", "_a", "1", "--prepare-only"]


def fixtures(folder):
    arguments = {"simple_execute.ipynb": ["-p", "msg", "Hello"], "complex_parameters.ipynb": ["-p", "a", "9.5"], "report_mode_test.ipynb": ["-p", "foo", "1"]}
    for path in sorted(folder.rglob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        yield path.stem, text, arguments.get(path.name, [])
        yield path.stem + " (prepared)", text, ["-p", "new", "x", "--prepare-only"]


def run(command, folder, text, arguments):
    folder.mkdir()
    (folder / "sub").mkdir()
    (folder / "in.ipynb").write_text(text, encoding="utf-8")
    words = [*command, "in.ipynb", "out.ipynb", *arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "VIRTUAL_ENV": sys.prefix}
    ended = subprocess.run(words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    out = folder / "out.ipynb"
    return ended.returncode, masked(out), ended.stderr, joined(out)


def compare(backlot, name, text, arguments):
    with tempfile.TemporaryDirectory() as scratch:
        theirs = run([sys.executable, "-m", "papermill", "--no-progress-bar"], Path(scratch, "theirs"), text, arguments)
        ours = run([backlot, "notebook", "run"], Path(scratch, "ours"), text, arguments)
    lines = difflib.unified_diff(theirs[1].splitlines(), ours[1].splitlines(), "papermill", "backlot", n=1, lineterm="")
    return {
        "name": name, "equal": theirs[1] == ours[1], "codes": [theirs[0], ours[0]],
        "joined": theirs[3] == ours[3], "written": theirs[1] != "(no file)", "difference": list(lines)[:30], "stderr": ours[2][-400:],
    }


def main():
    backlot, folder, *only = sys.argv[1:]
    cases = [case for case in [*generated(), *fixtures(Path(folder))] if not only or case[0] in only]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for result in pool.map(lambda case: compare(backlot, *case), cases):
            print(json.dumps(result), flush=True)


main()
